//! d_h[n, steps − 1, 0, u] = d_features[first + n, offset + u], d_h[n, 0, 1, u] = d_features[first + n, offset +
//! units + u], and zero at every other step

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/last_state_gradient",
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// Units of a direction.
        units: u32,
        /// Rows of d_features: all clips, of which these are a part.
        rows: u32,
        /// The row of the first clip.
        first: u32,
        /// Columns of d_features.
        width: u32,
        /// The first of the 2 · units columns read.
        offset: u32,
    },
    tensors {
        /// [rows, width]
        d_features: read f32,
        /// [batch, steps, 2, units]
        d_hidden: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(2 * params.steps * params.units, 64), params.batch, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        Tensors {
            d_features: self.rows as usize * self.width as usize,
            d_hidden: 2 * batch * steps * units,
        }
    }

    fn cost(&self) -> Cost {
        let states = 2.0 * f64::from(self.batch) * f64::from(self.units);
        Cost { flops: 0.0, bytes: 4.0 * states * (1.0 + f64::from(self.steps)) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (steps, units) = (self.steps as usize, self.units as usize);
        tensors.d_hidden.fill(T::zero());
        let clips = tensors.d_hidden.chunks_mut(steps * 2 * units);
        let rows = tensors.d_features.chunks(self.width as usize).skip(self.first as usize);
        for (d_hidden, d_features) in clips.zip(rows) {
            let (up, down) = d_features[self.offset as usize..][..2 * units].split_at(units);
            d_hidden[(steps - 1) * 2 * units..][..units].copy_from_slice(up);
            d_hidden[units..][..units].copy_from_slice(down);
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
