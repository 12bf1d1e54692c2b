//! The first block of a branch backwards, to shares of its weight and bias gradient.

use rayon::prelude::*;

use super::entry::{self, exact};
use super::{Entry, Walk};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/entry_backward",
    pieces ["entry", "quads"],
    params {
        /// The block.
        entry: Entry,
    },
    tensors {
        /// [batch, bands, steps], in dB
        input: read f32,
        /// [out_channels, taps]
        weight: read f32,
        /// \[out_channels\]
        bias: read f32,
        /// [batch, out_quads, pooled bands, pooled steps, 4]
        d_output: read f32,
        /// [batch, out_quads, pooled bands, pooled steps]: the kept place, a byte a channel
        code: read u32,
        /// [3, quads, 4]: mean, 1 / √(variance + ε), scale
        moments: read f32,
        /// [2, quads, 4]: Σ d_output / N, then Σ d_output · x̂ / N
        terms: read f32,
        /// [out_quads, taps + 1, 4]: the taps, then the bias
        partial: shares f32,
    },
}

impl Params {
    /// Segments are of whole windows, but for a cut one at the line's end.
    fn grid(&self, walk: Walk) -> Grid {
        let Entry { batch, lines, pooling, .. } = self.entry;
        let windows = lines.length.div_ceil(pooling.window);
        let segment = windows.div_ceil(lines.length.div_ceil(walk.segment).min(windows));
        let rows = lines.lines.div_ceil(pooling.window_lines);
        let items = batch * rows * windows.div_ceil(segment);
        let shares = cover(items, walk.lanes).min(walk.shares);
        Grid { shares, ..Grid::of([shares, self.entry.out_quads(), 1]) }
    }

    /// The gradient to the ReLU's input for one clip and quad, in place of the activation.
    fn through<T: Real>(
        &self,
        activation: &mut [T],
        d_output: &[T],
        code: &[u32],
        [mean, inverse, scale, constant, slope]: [[T; 4]; 5],
    ) {
        let (lines, windows) = (self.entry.lines, self.entry.pooling);
        for line in 0..lines.lines {
            for position in 0..lines.length {
                let at = 4 * (line * lines.across + position * lines.along) as usize;
                let window = windows.locate(line, position);
                for (c, a) in activation[at..at + 4].iter_mut().enumerate() {
                    let dy = match window {
                        Some((window, here)) if code[window] >> (8 * c) & 0xff == here => {
                            d_output[4 * window + c]
                        }
                        _ => T::zero(),
                    };
                    let normal = (*a - mean[c]) * inverse[c];
                    *a = if *a > T::zero() {
                        scale[c] * (dy - constant[c] - normal * slope[c])
                    } else {
                        T::zero()
                    };
                }
            }
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            // Without many processors, shares are only more to add up.
            shader: kernel!(
                @shader "layers/conv/entry_backward@few", "layers/conv/entry_backward",
                pieces ["entry", "quads"],
                |_| true, |facts| facts.software
            ),
            grid: |params| params.grid(Walk { lanes: 64, segment: 64, shares: 64 }),
        },
        Schedule::general(|params| params.grid(Walk { lanes: 64, segment: 64, shares: 128 })),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [channels, outs] =
            [self.entry.out_channels, self.entry.out_quads()].map(|n| n as usize);
        let pooled = self.entry.pooled();
        Tensors {
            input: self.entry.inputs(),
            weight: channels * self.entry.taps as usize,
            bias: channels,
            d_output: 4 * pooled,
            code: pooled,
            moments: 12 * outs,
            terms: 8 * outs,
            partial: outs * (self.entry.taps as usize + 1) * 4,
        }
    }

    fn cost(&self) -> Cost {
        // The activation again, and the weight gradient.
        self.entry.cost(2.0)
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Entry { lines, taps, before, .. } = self.entry;
        let (taps, outs) = (taps as usize, self.entry.out_quads() as usize);
        let pooled = self.entry.pooled_plane();
        let inputs = self.entry.clips(tensors.input);
        let partial = tensors.partial.par_chunks_mut(4 * (taps + 1)).enumerate();
        partial.for_each(|(quad, partial)| {
            let four = |values: &[T], row: usize| {
                [0, 1, 2, 3].map(|c| values[4 * (row * outs + quad) + c])
            };
            let channel = [
                four(tensors.moments, 0),
                four(tensors.moments, 1),
                four(tensors.moments, 2),
                four(tensors.terms, 0),
                four(tensors.terms, 1),
            ];
            let mut sums = vec![0.0; partial.len()];
            for (clip, input) in inputs.iter().enumerate() {
                let mut gradient = self.entry.activation(quad, input, tensors.weight, tensors.bias);
                let at = (clip * outs + quad) * pooled;
                let d_output = &tensors.d_output[4 * at..4 * (at + pooled)];
                self.through(&mut gradient, d_output, &tensors.code[at..at + pooled], channel);
                let (of_taps, of_bias) = sums.split_at_mut(4 * taps);
                for (tap, sums) in (0..).zip(of_taps.chunks_exact_mut(4)) {
                    for (to, from, run) in lines.overlaps(tap - i64::from(before), 0) {
                        let d = gradient[4 * to..4 * (to + run)].chunks_exact(4);
                        for (d, x) in d.zip(&input[from..from + run]) {
                            for (sum, &d) in sums.iter_mut().zip(d) {
                                *sum += d.double() * x.double();
                            }
                        }
                    }
                }
                for d in gradient.chunks_exact(4) {
                    for (sum, &d) in of_bias.iter_mut().zip(d) {
                        *sum += d.double();
                    }
                }
            }
            for (to, sum) in partial.iter_mut().zip(sums) {
                *to = T::of(sum);
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        let places = self.entry.pooling.window * self.entry.pooling.window_lines;
        Tensors {
            input: exact(),
            weight: exact(),
            bias: exact(),
            code: Draw::BytesBelow(places as u8),
            moments: Draw::Uniform(0.5, 1.5),
            partial: Draw::Poison,
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let own = [
            ("odd, over time", 3, 7, [1, 5], [11, 137], [2, 3]),
            ("odd, over frequency", 2, 6, [7, 1], [19, 67], [3, 2]),
            ("segments over frequency", 2, 4, [3, 1], [100, 6], [2, 1]),
        ];
        entry::cases(&own, |entry| Self { entry })
    }
}
