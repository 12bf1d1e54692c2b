//! The first block of a branch backwards, to shares of its weight and bias gradient.

use rayon::prelude::*;

use super::{
    LANES, Lines, MOST_SPLITS, MOST_TAPS, SEGMENT, Spectrograms, Windows, entry_activation, exact,
    meetings,
};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/entry_backward",
    pieces ["entry", "quads"],
    params {
        batch: u32,
        out_channels: u32,
        length: u32,
        lines: u32,
        along: u32,
        across: u32,
        taps: u32,
        before: u32,
        window: u32,
        window_lines: u32,
        code_along: u32,
        code_across: u32,
        windows: u32,
        window_rows: u32,
        pooled_along: u32,
        pooled_across: u32,
        segment: u32,
        segments: u32,
        /// Of the input: see [`Spectrograms`].
        start: u32,
        stride: u32,
        mean: f32,
        inverse_deviation: f32,
    },
    tensors {
        /// [batch, stride] from `start` on, a clip's first elements being [bands, steps], in dB
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
        /// [splits, out_quads, 10, 4]: nine taps, then the bias
        partial: write f32,
    },
}

/// Nine taps and the bias.
pub const COLUMNS: usize = MOST_TAPS as usize + 1;

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
        let Spectrograms { start, stride, mean, inverse_deviation } = input;
        let windows = Windows::new(lines, window);
        // Windows of a line, a cut one at its end included, in segments of about equal size.
        let along = lines.length.div_ceil(windows.along);
        let segments = lines.length.div_ceil(SEGMENT).min(along);
        let segment = along.div_ceil(segments);
        let Lines { length, lines, along: step, across } = lines;
        Self {
            batch,
            out_channels,
            length,
            lines,
            along: step,
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
            segment,
            segments: along.div_ceil(segment),
            start,
            stride,
            mean,
            inverse_deviation,
        }
    }

    fn spectrograms(&self) -> Spectrograms {
        let Self { start, stride, mean, inverse_deviation, .. } = *self;
        Spectrograms { start, stride, mean, inverse_deviation }
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

    fn items_per_clip(&self) -> u32 {
        self.lines.div_ceil(self.window_lines) * self.segments
    }

    /// Workgroups that share the items.
    pub fn splits(&self) -> u32 {
        cover(self.batch * self.items_per_clip(), LANES).min(4 * MOST_SPLITS)
    }

    /// The split that walks a position.
    fn split(&self, clip: u32, line: u32, position: u32) -> usize {
        let rows = self.lines.div_ceil(self.window_lines);
        let (row, segment) = (line / self.window_lines, position / self.window / self.segment);
        let within =
            if self.across == 1 { segment * rows + row } else { row * self.segments + segment };
        let item = clip * self.items_per_clip() + within;
        (item / LANES % self.splits()) as usize
    }

    /// The sums of one segment of a line for one quad, [10, 4]. Nine taps are walked, however many
    /// the kernel has, as the shader does.
    fn correlate<T: Real>(
        &self,
        line: u32,
        positions: std::ops::Range<u32>,
        gradient: &[T],
        input: &[T],
    ) -> [T; COLUMNS * 4] {
        let mut sums = [T::zero(); COLUMNS * 4];
        for position in positions {
            let at = (line * self.across + position * self.along) as usize;
            let d = &gradient[4 * at..4 * at + 4];
            for (tap, sums) in sums.chunks_exact_mut(4).enumerate() {
                let x = if tap == MOST_TAPS as usize {
                    T::one()
                } else {
                    let from = i64::from(position) + tap as i64 - i64::from(self.before);
                    if from < 0 || from >= i64::from(self.length) {
                        continue;
                    }
                    input[(line * self.across + from as u32 * self.along) as usize]
                };
                for (sum, &d) in sums.iter_mut().zip(d) {
                    *sum += d * x;
                }
            }
        }
        sums
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
    fn lengths(&self) -> Tensors<usize> {
        let [batch, channels, outs] =
            [self.batch, self.out_channels, self.out_quads()].map(|n| n as usize);
        let pooled = batch * outs * self.pooling().plane() as usize;
        Tensors {
            input: self.spectrograms().length(self.batch),
            weight: channels * self.taps as usize,
            bias: channels,
            d_output: 4 * pooled,
            code: pooled,
            moments: 12 * outs,
            terms: 8 * outs,
            partial: self.splits() as usize * outs * COLUMNS * 4,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.splits(), self.out_quads(), 1]
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
        let pooled = self.pooling().plane() as usize;
        let one = COLUMNS * 4;
        let inputs = self.spectrograms().standardised(tensors.input, plane);
        // By quad, [splits, 10, 4]; put into place at the end.
        let shares: Vec<Vec<T>> = (0..outs)
            .into_par_iter()
            .map(|quad| {
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
                let mut sums = vec![T::zero(); self.splits() as usize * one];
                for (clip, input) in inputs.iter().enumerate() {
                    let mut gradient = entry_activation(
                        lines,
                        self.taps,
                        quad,
                        input,
                        tensors.weight,
                        tensors.bias,
                    );
                    let at = (clip * outs + quad) * pooled;
                    let d_output = &tensors.d_output[4 * at..4 * (at + pooled)];
                    self.through(&mut gradient, d_output, &tensors.code[at..at + pooled], channel);
                    let segment = self.segment * self.window;
                    for line in 0..lines.lines {
                        for first in (0..lines.length).step_by(segment as usize) {
                            // A segment is summed on its own: one long f32 sum loses digits.
                            let positions = first..(first + segment).min(lines.length);
                            let share = self.correlate(line, positions, &gradient, input);
                            let split = self.split(clip as u32, line, first);
                            for (sum, share) in sums[split * one..].iter_mut().zip(share) {
                                *sum += share;
                            }
                        }
                    }
                }
                sums
            })
            .collect();
        for (at, to) in tensors.partial.chunks_mut(one).enumerate() {
            let (split, quad) = (at / outs, at % outs);
            to.copy_from_slice(&shares[quad][split * one..][..one]);
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        let places = self.pooling().along * self.window_lines;
        Tensors {
            input: exact(),
            weight: exact(),
            bias: exact(),
            d_output: Draw::NORMAL,
            code: Draw::BytesBelow(places as u8),
            moments: Draw::Uniform(0.5, 1.5),
            terms: Draw::NORMAL,
            partial: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |batch, channels, kernel: [u32; 2], bands, steps, window| {
            let lines = Lines::new(kernel, bands, steps);
            let input = Spectrograms::among_others(bands * steps);
            Self::new(batch, input, channels, lines, kernel[0].max(kernel[1]), window)
        };
        vec![
            Case::new("minimal", case(1, 1, [1, 1], 1, 1, [1, 1])),
            Case::new("odd, over time", case(3, 7, [1, 5], 11, 137, [2, 3])),
            Case::new("odd, over frequency", case(2, 6, [7, 1], 19, 67, [3, 2])),
            Case::new("typical, over time", case(1, 16, [1, 9], 32, 1292, [2, 2])),
            Case::new("typical, over frequency", case(1, 16, [9, 1], 128, 323, [4, 4])),
        ]
    }
}
