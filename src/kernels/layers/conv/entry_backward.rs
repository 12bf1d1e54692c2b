//! The first block of a branch backwards, to shares of its weight and bias gradient.

use rayon::prelude::*;

use super::{Lines, Spectrograms, Walk, Windows, entry_activation, exact, meetings};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/entry_backward",
    pieces ["entry", "quads"],
    params {
        /// Clips.
        batch: u32,
        /// Channels of the output.
        out_channels: u32,
        /// Positions of a line.
        length: u32,
        /// Lines of a plane.
        lines: u32,
        /// Positions in memory from one on a line to the next.
        along: u32,
        /// Positions in memory from a line to the next.
        across: u32,
        /// Taps of the kernel.
        taps: u32,
        /// Taps before the centre.
        before: u32,
        /// Positions of a pooling window along a line.
        window: u32,
        /// Lines of a pooling window.
        window_lines: u32,
        /// What a position along a line adds to a place in a window.
        code_along: u32,
        /// What a line adds to a place in a window.
        code_across: u32,
        /// Whole windows along a line.
        windows: u32,
        /// Whole rows of windows.
        window_rows: u32,
        /// Positions in the pooled plane from a window to the next along a line.
        pooled_along: u32,
        /// Positions in the pooled plane from a row of windows to the next.
        pooled_across: u32,
        /// Of the input: see [`Spectrograms`].
        /// Of the training clips, in dB.
        mean: f32,
        /// Of the training clips, in 1/dB.
        inverse_deviation: f32,
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
    /// For a kernel of `taps` and pooling windows of [bands, steps], on `batch` clips of the input.
    pub fn new(
        batch: u32,
        input: Spectrograms,
        out_channels: u32,
        lines: Lines,
        taps: u32,
        window: [u32; 2],
    ) -> Self {
        let Spectrograms { mean, inverse_deviation } = input;
        let windows = Windows::new(lines, window);
        let Lines { length, lines, along, across } = lines;
        Self {
            batch,
            out_channels,
            length,
            lines,
            along,
            across,
            taps,
            before: taps / 2,
            window: windows.along,
            window_lines: windows.lines,
            code_along: windows.code_along,
            code_across: windows.code_across,
            windows: windows.count,
            window_rows: windows.rows,
            pooled_along: windows.pooled_along,
            pooled_across: windows.pooled_across,
            mean,
            inverse_deviation,
        }
    }

    fn spectrograms(&self) -> Spectrograms {
        let Self { mean, inverse_deviation, .. } = *self;
        Spectrograms { mean, inverse_deviation }
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }

    fn pooling(&self) -> Windows {
        Windows {
            along: self.window,
            lines: self.window_lines,
            code_along: self.code_along,
            code_across: self.code_across,
            count: self.windows,
            rows: self.window_rows,
            pooled_along: self.pooled_along,
            pooled_across: self.pooled_across,
        }
    }

    fn out_quads(&self) -> u32 {
        self.out_channels.div_ceil(4)
    }

    /// Segments are of whole windows, but for a cut one at the line's end.
    fn grid(&self, walk: Walk) -> Grid {
        let windows = self.length.div_ceil(self.window);
        let segment = windows.div_ceil(self.length.div_ceil(walk.segment).min(windows));
        let rows = self.lines.div_ceil(self.window_lines);
        let items = self.batch * rows * windows.div_ceil(segment);
        let shares = cover(items, walk.lanes).min(walk.shares);
        Grid { shares, ..Grid::of([shares, self.out_quads(), 1]) }
    }

    /// The gradient to the ReLU's input for one clip and quad, in place of the activation.
    fn through<T: Real>(
        &self,
        activation: &mut [T],
        d_output: &[T],
        code: &[u32],
        [mean, inverse, scale, constant, slope]: [[T; 4]; 5],
    ) {
        let (lines, windows) = (self.geometry(), self.pooling());
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
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| params.grid(Walk { lanes: 64, segment: 64, shares: 64 }))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, channels, outs] =
            [self.batch, self.out_channels, self.out_quads()].map(|n| n as usize);
        let pooled = batch * outs * self.pooling().plane() as usize;
        Tensors {
            input: batch * self.geometry().plane(),
            weight: channels * self.taps as usize,
            bias: channels,
            d_output: 4 * pooled,
            code: pooled,
            moments: 12 * outs,
            terms: 8 * outs,
            partial: outs * (self.taps as usize + 1) * 4,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let filters = f64::from(self.batch) * f64::from(self.out_channels);
        Cost {
            // The activation again, and the weight gradient.
            flops: 4.0 * filters * meetings(self.geometry(), self.before, 0),
            bytes: 4.0
                * (self.batch as usize * self.geometry().plane() + lengths.d_output + lengths.code)
                    as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.geometry();
        let (plane, outs) = (lines.plane(), self.out_quads() as usize);
        let (pooled, taps) = (self.pooling().plane() as usize, self.taps as usize);
        let inputs = self.spectrograms().standardised(tensors.input, plane);
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
                let mut gradient =
                    entry_activation(lines, self.taps, quad, input, tensors.weight, tensors.bias);
                let at = (clip * outs + quad) * pooled;
                let d_output = &tensors.d_output[4 * at..4 * (at + pooled)];
                self.through(&mut gradient, d_output, &tensors.code[at..at + pooled], channel);
                let (of_taps, of_bias) = sums.split_at_mut(4 * taps);
                for (tap, sums) in (0..).zip(of_taps.chunks_exact_mut(4)) {
                    for (to, from, run) in lines.overlaps(tap - i64::from(self.before), 0) {
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
        let places = self.pooling().along * self.window_lines;
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
        let case = |batch, channels, kernel: [u32; 2], bands, steps, window| {
            let lines = Lines::new(kernel, bands, steps);
            Self::new(batch, Spectrograms::EXACT, channels, lines, kernel[0].max(kernel[1]), window)
        };
        vec![
            Case::new("minimal", case(1, 1, [1, 1], 1, 1, [1, 1])),
            Case::new("odd, over time", case(3, 7, [1, 5], 11, 137, [2, 3])),
            Case::new("odd, over frequency", case(2, 6, [7, 1], 19, 67, [3, 2])),
            Case::new("segments over frequency", case(2, 4, [3, 1], 100, 6, [2, 1])),
            Case::new("typical, over time", case(1, 16, [1, 9], 32, 1292, [2, 2])),
            Case::new("typical, over frequency", case(1, 16, [9, 1], 128, 323, [4, 4])),
        ]
    }
}
