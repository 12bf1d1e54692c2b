//! The first block of a branch up to its batch norm: convolution, ReLU and pooling in one pass.

use rayon::prelude::*;

use super::{
    Lines, MOST_ALONG, MOST_TAPS, MOST_WINDOW, Spectrograms, Windows, entry_activation, exact,
    meetings, of_quad, sums_around,
};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/entry_forward",
    pieces ["entry", "quads", "activation_sums"],
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
        /// \[out_channels\], of the batch norm that follows
        gamma: read f32,
        /// \[out_channels\], near the mean of the activation: the running mean
        pivot: read f32,
        /// [batch, out_quads, pooled bands, pooled steps, 4]
        pooled: write f32,
        /// [batch, out_quads, pooled bands, pooled steps]: the kept place, a byte a channel
        code: write u32,
        /// [out_quads, 2, 4]: Σ (activation − pivot), Σ (activation − pivot)²
        partial: shares f32,
    },
}

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
        let Spectrograms { mean, inverse_deviation } = input;
        let windows = Windows::new(lines, window);
        assert!(taps <= MOST_TAPS && windows.along <= MOST_ALONG);
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

    /// Workgroups of `lanes` threads, each of which computes whole windows of at most `tile`
    /// positions of a line, in `rows` rows of windows. Every workgroup leaves a share.
    fn grid(&self, tile: u32, rows: u32, lanes: u32) -> Grid {
        let tiles = self.length.div_ceil(tile / self.window * self.window);
        let groups = cover(tiles * self.lines.div_ceil(self.window_lines).div_ceil(rows), lanes);
        Grid {
            workgroups: [groups, self.out_quads(), self.batch],
            constants: vec![
                ("POOL", f64::from(self.window)),
                ("GROUPS", f64::from(self.taps.div_ceil(3))),
            ],
            shares: self.batch * groups,
        }
    }

    /// Pools a quad's activation; of each window, the kept value and its place.
    fn pool<T: Real>(&self, activation: &[T], gamma: [T; 4], pooled: &mut [T], code: &mut [u32]) {
        let (lines, windows) = (self.geometry(), self.pooling());
        let direction =
            gamma.map(|gamma| if gamma == T::zero() { T::zero() } else { gamma.signum() });
        let mut places = vec![[u32::MAX; 4]; code.len()];
        for (line, position) in (0..lines.lines)
            .flat_map(|line| (0..lines.length).map(move |position| (line, position)))
        {
            let Some((window, here)) = windows.locate(line, position) else { continue };
            let at = (line * lines.across + position * lines.along) as usize;
            let value = &activation[4 * at..4 * at + 4];
            for c in 0..4 {
                let held = &mut pooled[4 * window + c];
                let place = &mut places[window][c];
                let (key, best) = (value[c] * direction[c], *held * direction[c]);
                if *place == u32::MAX || key > best || (key == best && here < *place) {
                    (*held, *place) = (value[c], here);
                }
            }
        }
        for (code, place) in code.iter_mut().zip(&places) {
            *code = u32::from_le_bytes(place.map(|place| place as u8));
        }
    }
}

impl Kernel for Params {
    // Four rows a thread: loading its weights is then a small part of its work.
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| params.grid(8, 4, 64))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, channels, outs] =
            [self.batch, self.out_channels, self.out_quads()].map(|n| n as usize);
        let pooled = batch * outs * self.pooling().plane() as usize;
        Tensors {
            input: batch * self.geometry().plane(),
            weight: channels * self.taps as usize,
            bias: channels,
            gamma: channels,
            pivot: channels,
            pooled: 4 * pooled,
            code: pooled,
            partial: 8 * outs,
        }
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
        let Slices { weight, bias, gamma, pivot, pooled, code, partial, .. } = tensors;
        let (lines, outs) = (self.geometry(), self.out_quads() as usize);
        let pooled_plane = self.pooling().plane() as usize;
        // By clip and quad.
        let sums: Vec<Vec<[f64; 8]>> = pooled
            .par_chunks_mut(4 * outs * pooled_plane)
            .zip(code.par_chunks_mut(outs * pooled_plane))
            .zip(self.spectrograms().standardised(tensors.input, lines.plane()))
            .map(|((pooled, code), input)| {
                let planes = pooled.chunks_mut(4 * pooled_plane).zip(code.chunks_mut(pooled_plane));
                let quads = planes.enumerate().map(|(quad, (pooled, code))| {
                    let activation = entry_activation(lines, self.taps, quad, &input, weight, bias);
                    self.pool(&activation, of_quad(gamma, quad), pooled, code);
                    sums_around(of_quad(pivot, quad), [&activation[..]].into_iter())
                });
                quads.collect()
            })
            .collect();
        for (at, sum) in partial.iter_mut().enumerate() {
            *sum = T::of(sums.iter().map(|clip| clip[at / 8][at % 8]).sum());
        }
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
            Case::new("odd, over time", case(3, 7, [1, 5], 11, 37, [2, 3])),
            Case::new("odd, over frequency", case(2, 6, [7, 1], 19, 79, [3, 2])),
            Case::new("one short of whole tiles", case(2, 4, [1, 3], 4, 31, [2, 2])),
            Case::new("windows of one position", case(1, 5, [1, 3], 3, 29, [2, 1])),
            Case::new("typical, over time", case(1, 16, [1, 9], 32, 1292, [2, 2])),
            Case::new("typical, over frequency", case(1, 16, [9, 1], 128, 323, [4, 4])),
        ]
    }
}
