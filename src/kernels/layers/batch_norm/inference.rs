//! Scale and shift from the running statistics.

use super::EPSILON;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/batch_norm/inference",
    params {
        /// Channels.
        channels: u32,
        /// ε, added to the variance.
        epsilon: f32,
    },
    tensors {
        /// \[channels\]
        gamma: read f32,
        /// \[channels\]
        beta: read f32,
        /// \[channels\]
        running_mean: read f32,
        /// \[channels\]
        running_var: read f32,
        /// [2, quads, 4]: scale, then shift
        affine: write f32,
    },
}

impl Params {
    /// For the running statistics of `channels`.
    pub fn new(channels: u32) -> Self {
        Self { channels, epsilon: EPSILON }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.channels.next_multiple_of(4), 64), 1, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let channels = self.channels as usize;
        Tensors { affine: 2 * channels.next_multiple_of(4), ..Tensors::each(channels) }
    }

    fn cost(&self) -> Cost {
        let channels = f64::from(self.channels);
        Cost { flops: 5.0 * channels, bytes: 24.0 * channels }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let padded = (self.channels as usize).next_multiple_of(4);
        tensors.affine.fill(T::zero());
        for c in 0..self.channels as usize {
            let variance = tensors.running_var[c] + T::of(f64::from(self.epsilon));
            let scale = tensors.gamma[c] / variance.sqrt();
            tensors.affine[c] = scale;
            tensors.affine[padded + c] = tensors.beta[c] - tensors.running_mean[c] * scale;
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { running_var: Draw::Uniform(0.5, 2.0), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1)),
            Case::new("odd", Self::new(67)),
            Case::new("typical", Self::new(64)),
        ]
    }
}
