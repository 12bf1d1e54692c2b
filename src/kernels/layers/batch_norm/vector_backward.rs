//! Gradient of [`super::vector_forward`].

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/batch_norm/vector_backward",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip.
        features: u32,
    },
    tensors {
        /// [batch, features]
        input: read f32,
        /// [3, features]: mean, 1 / √(variance + ε), scale
        moments: read f32,
        /// [batch, features]
        d_output: read f32,
        /// [batch, features]
        d_input: write f32,
        /// \[features\]
        d_gamma: write f32,
        /// \[features\]
        d_beta: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.features, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, features] = [self.batch, self.features].map(|n| n as usize);
        Tensors {
            moments: 3 * features,
            d_gamma: features,
            d_beta: features,
            ..Tensors::each(batch * features)
        }
    }

    fn cost(&self) -> Cost {
        let input = self.lengths().input as f64;
        Cost { flops: 10.0 * input, bytes: 12.0 * input }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (features, count) = (self.features as usize, T::of(f64::from(self.batch)));
        for i in 0..features {
            let [mean, inverse, scale] = [0, 1, 2].map(|row| tensors.moments[row * features + i]);
            let column = || {
                let d_output = tensors.d_output[i..].iter().step_by(features);
                let normal = tensors.input[i..].iter().step_by(features);
                d_output.copied().zip(normal.map(|&x| (x - mean) * inverse))
            };
            let sum: T = column().map(|(d, _)| d).sum();
            let product: T = column().map(|(d, normal)| d * normal).sum();
            tensors.d_beta[i] = sum;
            tensors.d_gamma[i] = product;
            let d_input = tensors.d_input[i..].iter_mut().step_by(features);
            for (to, (d, normal)) in d_input.zip(column()) {
                *to = scale * (d - sum / count - normal * (product / count));
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { moments: Draw::Uniform(0.5, 1.5), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1, features: 1 }),
            Case::new("odd", Self { batch: 7, features: 131 }),
            Case::new("typical", Self { batch: 32, features: 1506 }),
        ]
    }
}
