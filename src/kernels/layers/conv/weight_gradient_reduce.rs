//! Adds up the shares of a convolution's weight and bias gradient.

use super::Taps;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/weight_gradient_reduce",
    params {
        in_channels: u32,
        out_channels: u32,
        stored: u32,
        first: u32,
        taps: u32,
        padded: u32,
        splits: u32,
    },
    tensors {
        /// [splits, out_quads, in_quads, padded, 4 (in), 4 (out)]
        partial: read f32,
        /// [splits, out_quads, 4]
        bias_partial: read f32,
        /// [out_channels, in_channels, stored]
        d_weight: write f32,
        /// \[out_channels\]
        d_bias: write f32,
    },
}

impl Params {
    pub fn new(in_channels: u32, out_channels: u32, taps: Taps, splits: u32) -> Self {
        Self {
            in_channels,
            out_channels,
            stored: taps.stored,
            first: taps.first,
            taps: taps.used,
            padded: 3 * taps.groups(),
            splits,
        }
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [ins, outs, stored, padded, splits] =
            [self.in_channels, self.out_channels, self.stored, self.padded, self.splits]
                .map(|n| n as usize);
        Tensors {
            partial: splits * outs.div_ceil(4) * ins.div_ceil(4) * padded * 16,
            bias_partial: splits * outs.div_ceil(4) * 4,
            d_weight: outs * ins * stored,
            d_bias: outs,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        let lengths = self.lengths();
        [cover((lengths.d_weight + lengths.d_bias) as u32, 64), 1, 1]
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: lengths.partial as f64,
            bytes: 4.0 * (lengths.partial + lengths.d_weight) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [ins, outs, stored, first, taps, padded] =
            [self.in_channels, self.out_channels, self.stored, self.first, self.taps, self.padded]
                .map(|n| n as usize);
        let (in_quads, out_quads) = (ins.div_ceil(4), outs.div_ceil(4));
        tensors.d_weight.fill(T::zero());
        tensors.d_bias.fill(T::zero());
        for partial in tensors.partial.chunks(out_quads * in_quads * padded * 16) {
            for o in 0..outs {
                for i in 0..ins {
                    for t in 0..taps {
                        let tap = ((o / 4) * in_quads + i / 4) * padded + t;
                        tensors.d_weight[(o * ins + i) * stored + first + t] +=
                            partial[(tap * 4 + i % 4) * 4 + o % 4];
                    }
                }
            }
        }
        for partial in tensors.bias_partial.chunks(4 * out_quads) {
            for (d, &share) in tensors.d_bias.iter_mut().zip(partial) {
                *d += share;
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            partial: Draw::NORMAL,
            bias_partial: Draw::NORMAL,
            d_weight: Draw::NORMAL,
            d_bias: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1, Taps::new(1, 1), 1)),
            Case::new("odd", Self::new(5, 7, Taps::new(5, 9), 3)),
            Case::new("taps that only meet padding", Self::new(6, 4, Taps::new(9, 2), 2)),
            Case::new("typical", Self::new(32, 64, Taps::new(9, 80), 8)),
        ]
    }
}
