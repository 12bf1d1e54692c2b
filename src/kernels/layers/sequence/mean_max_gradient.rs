//! d_x[n, t, j] = d_features[n, offset + j] / steps, and at t = place[n, j] also
//! d_features[n, offset + columns + j]

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/sequence/mean_max_gradient",
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// Numbers of a step.
        columns: u32,
        /// Columns of d_features.
        width: u32,
        /// The first of the 2 · columns read.
        offset: u32,
    },
    tensors {
        /// [batch, width]
        d_features: read f32,
        /// [batch, columns]
        place: read u32,
        /// [batch, steps, columns]
        d_x: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.steps * params.columns, 64), params.batch, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, columns] = [self.batch, self.steps, self.columns].map(|n| n as usize);
        Tensors {
            d_features: batch * self.width as usize,
            place: batch * columns,
            d_x: batch * steps * columns,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * lengths.d_x as f64,
            bytes: 4.0 * (lengths.d_x + 3 * lengths.place) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [steps, columns] = [self.steps, self.columns].map(|n| n as usize);
        for (at, d) in tensors.d_x.iter_mut().enumerate() {
            let (n, t, j) = (at / columns / steps, at / columns % steps, at % columns);
            let first = n * self.width as usize + self.offset as usize + j;
            *d = tensors.d_features[first] / T::of(f64::from(self.steps));
            if tensors.place[n * columns + j] as usize == t {
                *d += tensors.d_features[first + columns];
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { place: Draw::Below(self.steps), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let params =
            |batch, steps, columns, width, offset| Self { batch, steps, columns, width, offset };
        vec![
            Case::new("minimal", params(1, 1, 1, 2, 0)),
            Case::new("odd", params(5, 7, 13, 41, 9)),
            Case::new("typical", params(32, 20, 128, 512, 256)),
        ]
    }
}
