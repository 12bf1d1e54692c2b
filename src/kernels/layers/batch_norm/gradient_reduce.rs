//! Gradients of batch norm's parameters, and the means that its input gradient subtracts.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/batch_norm/gradient_reduce",
    params { channels: u32, clips: u32, elements: f32 },
    tensors {
        /// [clips, quads, 2, 4]
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
    fn lengths(&self) -> Tensors<usize> {
        let channels = self.channels as usize;
        let padded = channels.next_multiple_of(4);
        Tensors {
            partial: self.clips as usize * padded * 2,
            d_gamma: channels,
            d_beta: channels,
            terms: 2 * padded,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [cover(self.channels.next_multiple_of(4), 64), 1, 1]
    }

    fn cost(&self) -> Cost {
        let partial = self.lengths().partial as f64;
        Cost { flops: partial, bytes: 4.0 * partial }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let padded = (self.channels as usize).next_multiple_of(4);
        let elements = T::of(f64::from(self.elements));
        for c in 0..padded {
            let mut sums = [T::zero(); 2];
            for row in tensors.partial.chunks(2 * padded) {
                let at = c / 4 * 8 + c % 4;
                sums[0] += row[at];
                sums[1] += row[at + 4];
            }
            if c < self.channels as usize {
                tensors.d_beta[c] = sums[0];
                tensors.d_gamma[c] = sums[1];
            }
            tensors.terms[c] = sums[0] / elements;
            tensors.terms[padded + c] = sums[1] / elements;
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            partial: Draw::NORMAL,
            d_gamma: Draw::NORMAL,
            d_beta: Draw::NORMAL,
            terms: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { channels: 1, clips: 1, elements: 1.0 }),
            Case::new("odd", Self { channels: 67, clips: 5, elements: 333.0 }),
            Case::new("typical", Self { channels: 64, clips: 32, elements: 1280.0 }),
        ]
    }
}
