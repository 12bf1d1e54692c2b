//! The first block of a branch up to its batch norm: convolution, ReLU and pooling in one pass.

use rayon::prelude::*;

use super::{
    LANES, Lines, MOST_TAPS, MOST_WINDOW, Spectrograms, Windows, add_sums, entry_activation, exact,
    meetings,
};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Constants, Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/entry_forward",
    pieces ["entry", "quads", "activation_sums"],
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
        shares: u32,
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
        /// \[out_channels\], of the batch norm that follows
        gamma: read f32,
        /// \[out_channels\], near the mean of the activation: the running mean
        pivot: read f32,
        /// [batch, out_quads, pooled bands, pooled steps, 4]
        pooled: write f32,
        /// [batch, out_quads, pooled bands, pooled steps]: the kept place, a byte a channel
        code: write u32,
        /// [batch, groups, out_quads, 2, 4]: Σ (activation − pivot), Σ (activation − pivot)²
        partial: write f32,
    },
}

/// Positions that a thread computes of a line, at most: a pooling window must fit in them.
pub const TILE: u32 = 8;

/// Rows of windows that a thread takes: loading its weights is then a small part of its work.
const ROWS: u32 = 4;

impl Params {
    /// For a kernel of `taps` and pooling windows of [bands, steps], on `batch` clips of the input.
    ///
    /// # Panics
    /// When the kernel or the window is larger than the shader is written for.
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
        assert!(taps <= MOST_TAPS && windows.along <= TILE);
        assert!(window[0] * window[1] <= MOST_WINDOW);
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
            shares: lines.div_ceil(windows.lines).div_ceil(ROWS),
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

    /// Positions that a thread computes of a line.
    fn tile(&self) -> u32 {
        TILE / self.window * self.window
    }

    /// Workgroups of a plane.
    fn groups(&self) -> u32 {
        cover(self.length.div_ceil(self.tile()) * self.shares, LANES)
    }

    /// Rows of partials.
    pub fn rows(&self) -> u32 {
        self.batch * self.groups()
    }

    /// The row of partials, within a clip, that a position belongs to.
    fn group(&self, line: u32, position: u32) -> usize {
        let share = line / self.window_lines % self.shares;
        let tile = position / self.tile();
        let item = if self.across == 1 {
            tile * self.shares + share
        } else {
            share * self.length.div_ceil(self.tile()) + tile
        };
        (item / LANES) as usize
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
            gamma: channels,
            pivot: channels,
            pooled: 4 * pooled,
            code: pooled,
            partial: 8 * outs * self.rows() as usize,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.groups(), self.out_quads(), self.batch]
    }

    fn constants(&self) -> Constants {
        vec![("POOL", f64::from(self.window)), ("GROUPS", f64::from(self.taps.div_ceil(3)))]
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let filters = f64::from(self.batch) * f64::from(self.out_channels);
        Cost {
            flops: 2.0 * filters * meetings(self.geometry(), self.before, 0),
            bytes: 4.0
                * (self.batch as usize * self.geometry().plane() + lengths.pooled + lengths.code)
                    as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (lines, windows) = (self.geometry(), self.pooling());
        let outs = self.out_quads() as usize;
        let pooled_plane = windows.plane() as usize;
        let rows = 8 * outs * self.groups() as usize;
        tensors
            .pooled
            .par_chunks_mut(4 * outs * pooled_plane)
            .zip(tensors.code.par_chunks_mut(outs * pooled_plane))
            .zip(tensors.partial.par_chunks_mut(rows))
            .zip(self.spectrograms().standardised(tensors.input, lines.plane()))
            .for_each(|(((pooled, code), partial), input)| {
                partial.fill(T::zero());
                let planes = pooled.chunks_mut(4 * pooled_plane).zip(code.chunks_mut(pooled_plane));
                for (quad, (pooled, code)) in planes.enumerate() {
                    let activation = entry_activation(
                        lines,
                        self.taps,
                        quad,
                        &input,
                        tensors.weight,
                        tensors.bias,
                    );
                    let entry = |values: &[T], c: usize| {
                        values.get(4 * quad + c).copied().unwrap_or_else(T::zero)
                    };
                    let pivot = [0, 1, 2, 3].map(|c| entry(tensors.pivot, c));
                    let last = self.out_channels as usize - 1;
                    let direction = [0, 1, 2, 3].map(|c| {
                        let gamma = tensors.gamma[(4 * quad + c).min(last)];
                        if gamma == T::zero() { T::zero() } else { gamma.signum() }
                    });
                    let mut places = vec![[u32::MAX; 4]; pooled_plane];
                    for line in 0..lines.lines {
                        for first in (0..lines.length).step_by(self.tile() as usize) {
                            let positions = first..(first + self.tile()).min(lines.length);
                            let sums =
                                &mut partial[8 * (self.group(line, first) * outs + quad)..][..8];
                            add_sums(lines, line, positions, &activation, pivot, sums);
                        }
                        for position in 0..lines.length {
                            let Some((window, here)) = windows.locate(line, position) else {
                                continue;
                            };
                            let at = (line * lines.across + position * lines.along) as usize;
                            let value = &activation[4 * at..4 * at + 4];
                            for c in 0..4 {
                                let held = &mut pooled[4 * window + c];
                                let place = &mut places[window][c];
                                let (key, best) = (value[c] * direction[c], *held * direction[c]);
                                if *place == u32::MAX
                                    || key > best
                                    || (key == best && here < *place)
                                {
                                    (*held, *place) = (value[c], here);
                                }
                            }
                        }
                    }
                    for (code, place) in code.iter_mut().zip(&places) {
                        *code = u32::from_le_bytes(place.map(|place| place as u8));
                    }
                }
            });
    }

    fn draw(&self) -> Tensors<Draw> {
        // γ of both signs and zero, by fives, so that each lane of a quad meets them all; the others
        // at random.
        let ranges = [(0.5, 2.0), (-2.0, -0.5), (0.1, 1.0), (0.0, 0.0), (-1.0, -0.1)];
        let gamma = ranges.into_iter().cycle().take(self.out_channels as usize);
        Tensors {
            input: exact(),
            weight: exact(),
            bias: exact(),
            gamma: Draw::Ranges(gamma.collect()),
            pivot: Draw::Uniform(0.0, 1.0),
            pooled: Draw::NORMAL,
            code: Draw::NORMAL,
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
            Case::new("odd, over time", case(3, 7, [1, 5], 11, 37, [2, 3])),
            Case::new("odd, over frequency", case(2, 6, [7, 1], 19, 67, [3, 2])),
            Case::new("one short of whole tiles", case(2, 4, [1, 3], 4, 4 * TILE - 1, [2, 2])),
            Case::new("windows of one position", case(1, 5, [1, 3], 3, 29, [2, 1])),
            Case::new("typical, over time", case(1, 16, [1, 9], 32, 1292, [2, 2])),
            Case::new("typical, over frequency", case(1, 16, [9, 1], 128, 323, [4, 4])),
        ]
    }
}
