//! The first convolution of a branch, on one input channel, over a slice of the batch.

use rayon::prelude::*;

use super::{Lines, MOST_TAPS, finish};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, kernel};

kernel! {
    "layers/conv/entry_forward",
    params {
        batch: u32,
        first_clip: u32,
        clips: u32,
        out_channels: u32,
        length: u32,
        lines: u32,
        along: u32,
        across: u32,
        taps: u32,
        before: u32,
    },
    tensors {
        /// [batch, bands, steps]
        input: read f32,
        /// [out_channels, taps]
        weight: read f32,
        /// \[out_channels\]
        bias: read f32,
        /// \[out_channels\], near the mean of the output: the running mean
        pivot: read f32,
        /// [clips, out_quads, bands, steps, 4]
        output: write f32,
        /// [batch, tile groups, out_quads, 2, 4]: Σ (output − pivot), Σ (output − pivot)²;
        /// the slice's rows are written
        partial: update f32,
    },
}

impl Params {
    /// Clips `slice` of a batch. A kernel longer than the lines is not trimmed: the first block's
    /// lines are the longest of the branch.
    pub fn new(
        batch: u32,
        slice: std::ops::Range<u32>,
        out_channels: u32,
        lines: Lines,
        taps: u32,
    ) -> Self {
        assert!(taps <= MOST_TAPS);
        let Lines { length, lines, along, across } = lines;
        Self {
            batch,
            first_clip: slice.start,
            clips: slice.end - slice.start,
            out_channels,
            length,
            lines,
            along,
            across,
            taps,
            before: taps / 2,
        }
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }

    fn out_quads(&self) -> u32 {
        self.out_channels.div_ceil(4)
    }

    /// Rows of partials of the whole batch.
    pub fn rows(&self) -> u32 {
        self.batch * self.geometry().tile_groups()
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let plane = self.geometry().plane();
        let [batch, clips, outs] = [self.batch, self.clips, self.out_quads()].map(|n| n as usize);
        Tensors {
            input: batch * plane,
            weight: (self.out_channels * self.taps) as usize,
            bias: self.out_channels as usize,
            pivot: self.out_channels as usize,
            output: clips * outs * plane * 4,
            partial: 8 * outs * self.rows() as usize,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.geometry().tile_groups(), self.out_quads(), self.clips]
    }

    fn cost(&self) -> Cost {
        let taps =
            super::Taps { stored: self.taps, first: 0, used: self.taps, before: self.before };
        let lengths = self.lengths();
        let filters = f64::from(self.clips) * f64::from(self.out_channels);
        Cost {
            flops: 2.0 * filters * self.geometry().meetings(taps),
            bytes: 4.0 * (self.clips as usize * self.geometry().plane() + lengths.output) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.geometry();
        let plane = lines.plane();
        let outs = self.out_quads() as usize;
        let taps = self.taps as usize;
        let first = self.first_clip as usize;
        let rows = 8 * outs * lines.tile_groups() as usize;
        tensors
            .output
            .par_chunks_mut(outs * plane * 4)
            .zip(tensors.partial.par_chunks_mut(rows).skip(first))
            .zip(tensors.input.par_chunks(plane).skip(first))
            .for_each(|((output, partial), input)| {
                for (quad, output) in output.chunks_mut(4 * plane).enumerate() {
                    let channel = |values: &[T], c: usize, stride: usize, at: usize| {
                        values.get((4 * quad + c) * stride + at).copied().unwrap_or(T::zero())
                    };
                    for position in output.chunks_exact_mut(4) {
                        for (c, y) in position.iter_mut().enumerate() {
                            *y = channel(tensors.bias, c, 1, 0);
                        }
                    }
                    for tap in 0..taps {
                        let w = [0, 1, 2, 3].map(|c| channel(tensors.weight, c, taps, tap));
                        let offset = tap as i64 - i64::from(self.before);
                        for (to, from, run) in lines.overlaps(offset) {
                            let to = output[4 * to..4 * (to + run)].chunks_exact_mut(4);
                            for (y, &x) in to.zip(&input[from..from + run]) {
                                for (y, &w) in y.iter_mut().zip(&w) {
                                    *y += w * x;
                                }
                            }
                        }
                    }
                    finish(lines, quad, outs, tensors.pivot, output, partial);
                }
            });
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            input: Draw::NORMAL,
            weight: Draw::NORMAL,
            bias: Draw::NORMAL,
            pivot: Draw::Uniform(0.0, 1.0),
            output: Draw::NORMAL,
            partial: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |batch, slice, channels, kernel: [u32; 2], bands, steps| {
            let lines = Lines::new(kernel, bands, steps);
            Self::new(batch, slice, channels, lines, kernel[0].max(kernel[1]))
        };
        vec![
            Case::new("minimal", case(1, 0..1, 1, [1, 1], 1, 1)),
            Case::new("odd, over time", case(5, 1..4, 7, [1, 5], 3, 37)),
            Case::new("odd, over frequency", case(4, 2..3, 6, [7, 1], 19, 67)),
            Case::new("typical, over time", case(1, 0..1, 16, [1, 9], 32, 1292)),
            Case::new("typical, over frequency", case(1, 0..1, 16, [9, 1], 128, 323)),
        ]
    }
}
