//! features[first + n, offset + u] = h[n, steps − 1, 0, u], features[first + n, offset + units + u] = h[n, 0, 1, u]

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/last_state",
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// Units of a direction.
        units: u32,
        /// Rows of features: all clips, of which these are a part.
        rows: u32,
        /// The row of the first clip.
        first: u32,
        /// Columns of features.
        width: u32,
        /// The first of the 2 · units columns written.
        offset: u32,
    },
    tensors {
        /// [batch, steps, 2, units]
        hidden: read f32,
        /// [rows, width]: other branches write the other columns
        features: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(2 * params.batch * params.units, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        Tensors {
            hidden: 2 * batch * steps * units,
            features: self.rows as usize * self.width as usize,
        }
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 16.0 * f64::from(self.batch) * f64::from(self.units) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (steps, units) = (self.steps as usize, self.units as usize);
        let clips = tensors.hidden.chunks(steps * 2 * units);
        let rows = tensors.features.chunks_mut(self.width as usize).skip(self.first as usize);
        for (hidden, features) in clips.zip(rows) {
            let (up, down) = features[self.offset as usize..][..2 * units].split_at_mut(units);
            up.copy_from_slice(&hidden[(steps - 1) * 2 * units..][..units]);
            down.copy_from_slice(&hidden[units..][..units]);
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new(
                "minimal",
                Self { batch: 1, steps: 1, units: 1, rows: 1, first: 0, width: 2, offset: 0 },
            ),
            Case::new(
                "odd",
                Self { batch: 5, steps: 7, units: 13, rows: 9, first: 3, width: 41, offset: 9 },
            ),
            Case::new(
                "typical",
                Self {
                    batch: 32,
                    steps: 20,
                    units: 32,
                    rows: 32,
                    first: 0,
                    width: 128,
                    offset: 64,
                },
            ),
        ]
    }
}
