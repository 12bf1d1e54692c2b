//! Adds up the shares of a convolution's weight and bias gradient.

use super::{Footprint, Lines};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/weight_gradient_reduce",
    params {
        in_channels: u32,
        out_channels: u32,
        taps: u32,
        first: u32,
        padded: u32,
        along_stride: u32,
        along_stored: u32,
        rows: u32,
        first_row: u32,
        across_stride: u32,
        across_stored: u32,
        splits: u32,
    },
    tensors {
        /// [splits, out_quads, in_quads, rows, padded, 4 (in), 4 (out)]
        partial: read f32,
        /// [splits, out_quads, 4]
        bias_partial: read f32,
        /// [out_channels, in_channels, bands, steps] of taps
        d_weight: write f32,
        /// \[out_channels\]
        d_bias: write f32,
    },
}

impl Params {
    /// Of a gradient in `splits` shares, each with `padded` taps a line.
    pub fn new([ins, outs]: [u32; 2], footprint: Footprint, padded: u32, splits: u32) -> Self {
        let Footprint { along, across, along_stride, across_stride } = footprint;
        Self {
            in_channels: ins,
            out_channels: outs,
            taps: along.used,
            first: along.first,
            padded,
            along_stride,
            along_stored: along.stored,
            rows: across.used,
            first_row: across.first,
            across_stride,
            across_stored: across.stored,
            splits,
        }
    }

    fn stored(&self) -> u32 {
        self.along_stored * self.across_stored
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [ins, outs, stored, splits] =
            [self.in_channels, self.out_channels, self.stored(), self.splits].map(|n| n as usize);
        let taps = (self.rows * self.padded) as usize;
        Tensors {
            partial: splits * outs.div_ceil(4) * ins.div_ceil(4) * taps * 16,
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
        let [ins, outs, stored, rows, padded] =
            [self.in_channels, self.out_channels, self.stored(), self.rows, self.padded]
                .map(|n| n as usize);
        let (in_quads, out_quads) = (ins.div_ceil(4), outs.div_ceil(4));
        tensors.d_weight.fill(T::zero());
        tensors.d_bias.fill(T::zero());
        let first = self.first * self.along_stride + self.first_row * self.across_stride;
        for partial in tensors.partial.chunks(out_quads * in_quads * rows * padded * 16) {
            for (pair, d_weight) in tensors.d_weight.chunks_mut(stored).enumerate() {
                let (o, i) = (pair / ins, pair % ins);
                for (r, t) in (0..self.rows).flat_map(|r| (0..self.taps).map(move |t| (r, t))) {
                    let place = first + r * self.across_stride + t * self.along_stride;
                    let row = ((o / 4) * in_quads + i / 4) * rows + r as usize;
                    let tap = row * padded + t as usize;
                    d_weight[place as usize] += partial[(tap * 4 + i % 4) * 4 + o % 4];
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
        let case = |channels, kernel, bands, steps, splits| {
            let footprint = Footprint::new(kernel, Lines::new(kernel, bands, steps));
            Self::new(channels, footprint, 3 * footprint.along.groups(), splits)
        };
        vec![
            Case::new("minimal", case([1, 1], [1, 1], 1, 1, 1)),
            Case::new("odd", case([5, 7], [1, 5], 3, 9, 3)),
            Case::new("odd, over both", case([5, 7], [5, 3], 9, 9, 3)),
            Case::new("taps that only meet padding", case([6, 4], [9, 1], 2, 3, 2)),
            Case::new("rows that only meet padding", case([3, 6], [5, 9], 2, 30, 2)),
            Case::new("typical", case([32, 64], [1, 9], 8, 80, 8)),
        ]
    }
}
