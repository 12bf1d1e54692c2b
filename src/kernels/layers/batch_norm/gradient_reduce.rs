//! Gradients of batch norm's parameters, and the means that its input gradient subtracts.

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel, over_shares};

kernel! {
    "layers/batch_norm/gradient_reduce",
    params {
        /// Channels.
        channels: u32,
        /// Shares of `partial`.
        shares: u32,
        /// N: elements of a channel over the batch and the full plane.
        elements: f32,
    },
    tensors {
        /// [shares, quads, 2, 4]: Σ d_output, then Σ d_output · x̂
        partial: read f32,
        /// \[channels\]
        d_gamma: write f32,
        /// \[channels\]
        d_beta: write f32,
        /// [2, quads, 4]: d_beta / N, then d_gamma / N
        terms: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.channels.next_multiple_of(4), 64), 1, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let channels = self.channels as usize;
        let padded = channels.next_multiple_of(4);
        let partial = self.shares as usize * padded * 2;
        Tensors { partial, terms: 2 * padded, ..Tensors::each(channels) }
    }

    fn cost(&self) -> Cost {
        let partial = self.lengths().partial as f64;
        Cost { flops: partial, bytes: 4.0 * partial }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let padded = (self.channels as usize).next_multiple_of(4);
        let elements = T::of(f64::from(self.elements));
        for c in 0..padded {
            let sums =
                [0, 4].map(|k| over_shares(tensors.partial, 2 * padded, c / 4 * 8 + k + c % 4));
            if c < self.channels as usize {
                tensors.d_beta[c] = sums[0];
                tensors.d_gamma[c] = sums[1];
            }
            tensors.terms[c] = sums[0] / elements;
            tensors.terms[padded + c] = sums[1] / elements;
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { channels: 1, shares: 1, elements: 1.0 }),
            Case::new("odd", Self { channels: 67, shares: 5, elements: 333.0 }),
            Case::new("typical", Self { channels: 64, shares: 32, elements: 1280.0 }),
        ]
    }
}
