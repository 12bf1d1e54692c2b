//! Batch norm of vectors with the running statistics.

use super::EPSILON;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/batch_norm/vector_inference",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip.
        features: u32,
        /// ε, added to the variance.
        epsilon: f32,
    },
    tensors {
        /// [batch, features]
        input: read f32,
        /// \[features\]
        gamma: read f32,
        /// \[features\]
        beta: read f32,
        /// \[features\]
        running_mean: read f32,
        /// \[features\]
        running_var: read f32,
        /// [batch, features]
        output: write f32,
    },
}

impl Params {
    /// For vectors of so many features.
    pub fn new(batch: u32, features: u32) -> Self {
        Self { batch, features, epsilon: EPSILON }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch * params.features, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, features] = [self.batch, self.features].map(|n| n as usize);
        Tensors { input: batch * features, output: batch * features, ..Tensors::each(features) }
    }

    fn cost(&self) -> Cost {
        let input = self.lengths().input as f64;
        Cost { flops: 5.0 * input, bytes: 8.0 * input }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let features = self.features as usize;
        let epsilon = T::of(f64::from(self.epsilon));
        for (at, (y, &x)) in tensors.output.iter_mut().zip(tensors.input).enumerate() {
            let i = at % features;
            let scale = tensors.gamma[i] / (tensors.running_var[i] + epsilon).sqrt();
            *y = (x - tensors.running_mean[i]) * scale + tensors.beta[i];
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { running_var: Draw::Uniform(0.5, 2.0), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1)),
            Case::new("odd", Self::new(7, 131)),
            Case::new("typical", Self::new(16, 1506)),
        ]
    }
}
