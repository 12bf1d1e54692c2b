//! Batch norm of vectors with the batch's own statistics, which also move the running ones.

use super::{EPSILON, MOMENTUM};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/batch_norm/vector_forward",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip.
        features: u32,
        /// ε, added to the variance.
        epsilon: f32,
        /// Weight of this batch in the running statistics.
        momentum: f32,
    },
    tensors {
        /// [batch, features]
        input: read f32,
        /// \[features\]
        gamma: read f32,
        /// \[features\]
        beta: read f32,
        /// \[features\]
        running_mean: update f32,
        /// \[features\]
        running_var: update f32,
        /// [3, features]: mean, 1 / √(variance + ε), scale
        moments: write f32,
        /// [batch, features]
        output: write f32,
    },
}

impl Params {
    /// For vectors of so many features. Of how they vary, one alone says nothing: it leaves the running
    /// statistics as they are.
    pub fn new(batch: u32, features: u32) -> Self {
        let momentum = if batch > 1 { MOMENTUM } else { 0.0 };
        Self { batch, features, epsilon: EPSILON, momentum }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.features, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, features] = [self.batch, self.features].map(|n| n as usize);
        Tensors {
            input: batch * features,
            output: batch * features,
            moments: 3 * features,
            ..Tensors::each(features)
        }
    }

    fn cost(&self) -> Cost {
        let input = self.lengths().input as f64;
        Cost { flops: 7.0 * input, bytes: 8.0 * input }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let number = |x: f32| T::of(f64::from(x));
        let (features, count) = (self.features as usize, T::of(f64::from(self.batch)));
        for i in 0..features {
            let column = || tensors.input[i..].iter().step_by(features).copied();
            let mean = column().sum::<T>() / count;
            let squares = column().map(|x| (x - mean) * (x - mean)).sum::<T>();
            let inverse = T::one() / (squares / count + number(self.epsilon)).sqrt();
            let scale = tensors.gamma[i] * inverse;
            for (y, x) in tensors.output[i..].iter_mut().step_by(features).zip(column()) {
                *y = (x - mean) * scale + tensors.beta[i];
            }
            let moments = [mean, inverse, scale];
            for (row, moment) in moments.into_iter().enumerate() {
                tensors.moments[row * features + i] = moment;
            }
            let momentum = number(self.momentum);
            let running = tensors.running_mean[i];
            tensors.running_mean[i] += momentum * (mean - running);
            let unbiased = squares / (count - T::one()).max(T::one());
            let running = tensors.running_var[i];
            tensors.running_var[i] += momentum * (unbiased - running);
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { running_var: Draw::Uniform(0.5, 2.0), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1)),
            Case::new("two", Self::new(2, 1)),
            Case::new("odd", Self::new(7, 131)),
            Case::new("typical", Self::new(32, 1506)),
        ]
    }
}
