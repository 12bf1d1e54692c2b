//! Adds up the shares of the first convolution's weight and bias gradient.

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel, over_shares};

kernel! {
    "layers/conv/entry_reduce",
    params {
        /// Channels of the output.
        out_channels: u32,
        /// Taps of the kernel.
        taps: u32,
        /// Shares of `partial`.
        shares: u32,
    },
    tensors {
        /// [shares, out_quads, taps + 1, 4]: the taps, then the bias
        partial: read f32,
        /// [out_channels, taps]
        d_weight: write f32,
        /// \[out_channels\]
        d_bias: write f32,
    },
}

impl Params {
    /// Elements of a share.
    fn share(&self) -> usize {
        4 * (self.out_channels.div_ceil(4) * (self.taps + 1)) as usize
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.out_channels * (params.taps + 1), 64), 1, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [outs, taps] = [self.out_channels, self.taps].map(|n| n as usize);
        let partial = self.shares as usize * self.share();
        Tensors { partial, d_weight: outs * taps, d_bias: outs }
    }

    fn cost(&self) -> Cost {
        let partial = self.lengths().partial as f64;
        Cost { flops: partial, bytes: 4.0 * partial }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let taps = self.taps as usize;
        let sum = |o: usize, column: usize| {
            let at = (o / 4 * (taps + 1) + column) * 4 + o % 4;
            over_shares(tensors.partial, self.share(), at)
        };
        for (at, d) in tensors.d_weight.iter_mut().enumerate() {
            *d = sum(at / taps, at % taps);
        }
        for (o, d) in tensors.d_bias.iter_mut().enumerate() {
            *d = sum(o, taps);
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { out_channels: 1, taps: 1, shares: 1 }),
            Case::new("odd", Self { out_channels: 7, taps: 5, shares: 3 }),
            Case::new("one channel in the last quad", Self { out_channels: 5, taps: 3, shares: 2 }),
            Case::new("typical", Self { out_channels: 16, taps: 9, shares: 128 }),
        ]
    }
}
