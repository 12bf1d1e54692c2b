//! Adds up the shares of the first convolution's weight and bias gradient.

use super::entry_backward::COLUMNS;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/entry_reduce",
    params { out_channels: u32, taps: u32, splits: u32 },
    tensors {
        /// [splits, out_quads, 10, 4]: nine taps, then the bias
        partial: read f32,
        /// [out_channels, taps]
        d_weight: write f32,
        /// \[out_channels\]
        d_bias: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [outs, taps, splits] = [self.out_channels, self.taps, self.splits].map(|n| n as usize);
        Tensors {
            partial: splits * outs.div_ceil(4) * COLUMNS * 4,
            d_weight: outs * taps,
            d_bias: outs,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [cover(self.out_channels * (self.taps + 1), 64), 1, 1]
    }

    fn cost(&self) -> Cost {
        let partial = self.lengths().partial as f64;
        Cost { flops: partial, bytes: 4.0 * partial }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (outs, taps) = (self.out_channels as usize, self.taps as usize);
        tensors.d_weight.fill(T::zero());
        tensors.d_bias.fill(T::zero());
        for partial in tensors.partial.chunks(outs.div_ceil(4) * COLUMNS * 4) {
            for o in 0..outs {
                let at = |column: usize| partial[((o / 4) * COLUMNS + column) * 4 + o % 4];
                for t in 0..taps {
                    tensors.d_weight[o * taps + t] += at(t);
                }
                tensors.d_bias[o] += at(COLUMNS - 1);
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { partial: Draw::NORMAL, d_weight: Draw::NORMAL, d_bias: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { out_channels: 1, taps: 1, splits: 1 }),
            Case::new("odd", Self { out_channels: 7, taps: 5, splits: 3 }),
            Case::new("one channel in the last quad", Self { out_channels: 5, taps: 3, splits: 2 }),
            Case::new("typical", Self { out_channels: 16, taps: 9, splits: 128 }),
        ]
    }
}
