//! Adds up the shares of a convolution's weight and bias gradient.

use super::{Footprint, Lines};
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel, over_shares};

kernel! {
    "layers/conv/weight_gradient_reduce",
    params {
        /// Channels of the input.
        in_channels: u32,
        /// Channels of the output.
        out_channels: u32,
        /// Used taps along a line.
        taps: u32,
        /// The first of them in the stored kernel.
        first: u32,
        /// Taps in the stored kernel from one along a line to the next.
        along_stride: u32,
        /// Stored taps along a line.
        along_stored: u32,
        /// Used lines of the kernel.
        rows: u32,
        /// The first of them in the stored kernel.
        first_row: u32,
        /// Taps in the stored kernel from a line to the next.
        across_stride: u32,
        /// Stored lines of the kernel.
        across_stored: u32,
        /// Shares of both.
        shares: u32,
    },
    tensors {
        /// [shares, out_quads, in_quads, rows, taps, 4 (in), 4 (out)]
        partial: read f32,
        /// [shares, out_quads, 4]
        bias_partial: read f32,
        /// [out_channels, in_channels, bands, steps] of taps
        d_weight: write f32,
        /// \[out_channels\]
        d_bias: write f32,
    },
}

impl Params {
    /// Over so many shares.
    pub fn new([ins, outs]: [u32; 2], footprint: Footprint, shares: u32) -> Self {
        let Footprint { along, across, along_stride, across_stride } = footprint;
        Self {
            in_channels: ins,
            out_channels: outs,
            taps: along.used,
            first: along.first,
            along_stride,
            along_stored: along.stored,
            rows: across.used,
            first_row: across.first,
            across_stride,
            across_stored: across.stored,
            shares,
        }
    }

    /// Elements of a share of `partial`.
    fn share(&self) -> usize {
        let pairs = self.out_channels.div_ceil(4) * self.in_channels.div_ceil(4);
        16 * (pairs * self.rows * self.taps) as usize
    }

    fn stored(&self) -> u32 {
        self.along_stored * self.across_stored
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let lengths = params.lengths();
        Grid::of([cover((lengths.d_weight + lengths.d_bias) as u32, 64), 1, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [ins, outs, stored, shares] =
            [self.in_channels, self.out_channels, self.stored(), self.shares].map(|n| n as usize);
        Tensors {
            partial: shares * self.share(),
            bias_partial: shares * outs.next_multiple_of(4),
            d_weight: outs * ins * stored,
            d_bias: outs,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: lengths.partial as f64,
            bytes: 4.0 * (lengths.partial + lengths.d_weight) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [ins, outs, stored, rows, taps] =
            [self.in_channels, self.out_channels, self.stored(), self.rows, self.taps]
                .map(|n| n as usize);
        tensors.d_weight.fill(T::zero());
        let first = self.first * self.along_stride + self.first_row * self.across_stride;
        for (pair, d_weight) in tensors.d_weight.chunks_mut(stored).enumerate() {
            let (o, i) = (pair / ins, pair % ins);
            for (r, t) in (0..rows).flat_map(|r| (0..taps).map(move |t| (r, t))) {
                let place = first + r as u32 * self.across_stride + t as u32 * self.along_stride;
                let tap = ((o / 4 * ins.div_ceil(4) + i / 4) * rows + r) * taps + t;
                let at = (tap * 4 + i % 4) * 4 + o % 4;
                d_weight[place as usize] = over_shares(tensors.partial, self.share(), at);
            }
        }
        for (o, d) in tensors.d_bias.iter_mut().enumerate() {
            *d = over_shares(tensors.bias_partial, outs.next_multiple_of(4), o);
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |channels, kernel, bands, steps, shares| {
            let footprint = Footprint::new(kernel, Lines::new(kernel, bands, steps));
            Self::new(channels, footprint, shares)
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
