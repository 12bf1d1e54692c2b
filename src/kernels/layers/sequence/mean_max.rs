//! features[n, offset + j] = Σ_t x[n, t, j] / steps, features[n, offset + columns + j] = max_t
//! x[n, t, j], and the first t at which the maximum is reached

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/sequence/mean_max",
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// Numbers of a step.
        columns: u32,
        /// Columns of features.
        width: u32,
        /// The first of the 2 · columns written.
        offset: u32,
    },
    tensors {
        /// [batch, steps, columns]
        x: read f32,
        /// [batch, width]: other branches write the other columns
        features: update f32,
        /// [batch, columns]: where the maxima are, for the gradient
        place: write u32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch * params.columns, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, columns] = [self.batch, self.steps, self.columns].map(|n| n as usize);
        Tensors {
            x: batch * steps * columns,
            features: batch * self.width as usize,
            place: batch * columns,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost { flops: 2.0 * lengths.x as f64, bytes: 4.0 * (lengths.x + 3 * lengths.place) as f64 }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [steps, columns] = [self.steps, self.columns].map(|n| n as usize);
        for (index, place) in tensors.place.iter_mut().enumerate() {
            let (n, j) = (index / columns, index % columns);
            let series = || (0..steps).map(|t| tensors.x[(n * steps + t) * columns + j]);
            let mut best = (0, T::neg_infinity());
            for (t, value) in series().enumerate() {
                if value > best.1 {
                    best = (t, value);
                }
            }
            let to = n * self.width as usize + self.offset as usize + j;
            tensors.features[to] = series().sum::<T>() / T::of(f64::from(self.steps));
            tensors.features[to + columns] = best.1;
            *place = best.0 as u32;
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // Few values, so that maxima tie.
        let x = (-4..=4).map(|i| i as f32 / 4.0).collect();
        Tensors { x: Draw::Among(x), features: Draw::NORMAL, place: Draw::Below(1) }
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
