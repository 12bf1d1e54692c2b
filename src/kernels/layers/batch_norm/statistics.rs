//! Batch statistics from partial sums, the running statistics, and the scale and shift.

use super::{EPSILON, MOMENTUM};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel, over_shares};

kernel! {
    "layers/batch_norm/statistics",
    pieces ["pair_sums"],
    params {
        /// Channels.
        channels: u32,
        /// Shares of `partial`.
        shares: u32,
        /// N: elements of a channel over the batch and the plane.
        elements: f32,
        /// ε, added to the variance.
        epsilon: f32,
        /// Weight of this batch in the running statistics.
        momentum: f32,
    },
    tensors {
        /// [shares, quads, 2, 4]: Σ (x − pivot), Σ (x − pivot)², the pivot being the running mean
        partial: read f32,
        /// \[channels\]
        gamma: read f32,
        /// \[channels\]
        beta: read f32,
        /// \[channels\]
        running_mean: update f32,
        /// \[channels\]
        running_var: update f32,
        /// [3, quads, 4]: mean, 1 / √(variance + ε), scale
        moments: write f32,
        /// [2, quads, 4]: scale, then shift
        affine: write f32,
    },
}

impl Params {
    /// Over so many shares, of `elements` elements of a channel in all.
    pub fn new(channels: u32, shares: u32, elements: f64) -> Self {
        Self { channels, shares, elements: elements as f32, epsilon: EPSILON, momentum: MOMENTUM }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([params.channels.div_ceil(4), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let channels = self.channels as usize;
        let padded = channels.next_multiple_of(4);
        Tensors {
            partial: self.shares as usize * padded * 2,
            moments: 3 * padded,
            affine: 2 * padded,
            ..Tensors::each(channels)
        }
    }

    fn cost(&self) -> Cost {
        let partial = self.lengths().partial as f64;
        Cost { flops: partial, bytes: 4.0 * partial }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let number = |x: f32| T::of(f64::from(x));
        let (elements, momentum) = (number(self.elements), number(self.momentum));
        let padded = (self.channels as usize).next_multiple_of(4);
        for c in 0..padded {
            let sums =
                [0, 4].map(|k| over_shares(tensors.partial, 2 * padded, c / 4 * 8 + k + c % 4));
            let distance = sums[0] / elements;
            let variance = (sums[1] / elements - distance * distance).max(T::zero());
            let inverse = T::one() / (variance + number(self.epsilon)).sqrt();
            let (mut mean, mut scale, mut shift) = (T::zero(), T::zero(), T::zero());
            if c < self.channels as usize {
                mean = tensors.running_mean[c] + distance;
                scale = tensors.gamma[c] * inverse;
                shift = tensors.beta[c] - mean * scale;
                let unbiased = variance * elements / (elements - T::one()).max(T::one());
                tensors.running_mean[c] += momentum * distance;
                let running = tensors.running_var[c];
                tensors.running_var[c] += momentum * (unbiased - running);
            }
            tensors.moments[c] = mean;
            tensors.moments[padded + c] = inverse;
            tensors.moments[2 * padded + c] = scale;
            tensors.affine[c] = scale;
            tensors.affine[padded + c] = shift;
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // Sums as they come: the squares must exceed what the mean takes away.
        let per_share = f64::from(self.elements) / f64::from(self.shares);
        let length = self.lengths().partial;
        let partial = (0..length).map(|i| {
            let (low, high) = if i % 8 >= 4 { (0.8, 1.8) } else { (-0.1, 0.3) };
            (per_share * low, per_share * high)
        });
        Tensors {
            partial: Draw::Ranges(partial.collect()),
            running_var: Draw::Uniform(0.5, 2.0),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1, 1.0)),
            Case::new("odd", Self::new(7, 131, 4711.0)),
            Case::new("typical", Self::new(16, 1312, 1_323_008.0)),
        ]
    }
}
