//! What the kernels of a branch's first block have in common.

use super::{Lines, Reach, of_quad};
use crate::kernels::features::Spectrograms;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, parameters};

/// The largest kernel: what a thread keeps in registers.
const MOST_TAPS: u32 = 9;
/// Positions of a pooling window at most: a place in it fits a byte.
const MOST_WINDOW: u32 = 256;
/// Those along a line: a thread keeps what it computes of a window in registers.
const MOST_ALONG: u32 = 8;

/// Whether the `entry_` kernels take a first block with this kernel and pooling window, both
/// [bands, steps].
pub fn entry_takes(kernel: [u32; 2], window: [u32; 2]) -> bool {
    let [rows, columns] = kernel;
    let along = if rows > columns { window[0] } else { window[1] };
    rows.min(columns) == 1
        && rows.max(columns) <= MOST_TAPS
        && along <= MOST_ALONG
        && window[0].saturating_mul(window[1]) <= MOST_WINDOW
}

parameters! {
    /// The windows of max pooling, seen along lines.
    pub struct Windows {
        /// Positions of a window along a line.
        pub window: u32,
        /// Lines of a window.
        pub window_lines: u32,
        /// What one position adds to a place in a window, counted row by row.
        pub code_along: u32,
        /// What one line adds to it.
        pub code_across: u32,
        /// Whole windows along a line.
        pub windows: u32,
        /// Whole rows of windows.
        pub window_rows: u32,
        /// Distance in the pooled plane between neighbours along a line.
        pub pooled_along: u32,
        /// The same across lines.
        pub pooled_across: u32,
    }
}

impl Windows {
    /// Windows of [bands, steps] positions.
    fn new(lines: Lines, [bands, steps]: [u32; 2]) -> Self {
        if lines.along == 1 {
            let windows = lines.length / steps;
            Self {
                window: steps,
                window_lines: bands,
                code_along: 1,
                code_across: steps,
                windows,
                window_rows: lines.lines / bands,
                pooled_along: 1,
                pooled_across: windows,
            }
        } else {
            let window_rows = lines.lines / steps;
            Self {
                window: bands,
                window_lines: steps,
                code_along: steps,
                code_across: 1,
                windows: lines.length / bands,
                window_rows,
                pooled_along: window_rows,
                pooled_across: 1,
            }
        }
    }

    /// Windows of a pooled plane.
    fn plane(&self) -> u32 {
        self.windows * self.window_rows
    }

    /// The window that a position lies in, as an index into the pooled plane, and its place there;
    /// none in a remainder.
    pub(super) fn locate(&self, line: u32, position: u32) -> Option<(usize, u32)> {
        let (window, row) = (position / self.window, line / self.window_lines);
        (window < self.windows && row < self.window_rows).then(|| {
            let at = window * self.pooled_along + row * self.pooled_across;
            let place = position % self.window * self.code_along
                + line % self.window_lines * self.code_across;
            (at as usize, place)
        })
    }
}

parameters! {
    /// A first block up to its batch norm, on a batch of spectrograms.
    pub struct Entry {
        /// Clips.
        pub batch: u32,
        /// Channels of the output.
        pub out_channels: u32,
        /// The planes of the input.
        pub lines: Lines,
        /// Taps of the kernel.
        pub taps: u32,
        /// Taps before the centre.
        pub before: u32,
        /// The pooling windows.
        pub pooling: Windows,
        /// What standardises the input.
        pub input: Spectrograms,
    }
}

/// For cases: what is exact stays exact.
const EXACT: Spectrograms = Spectrograms { mean: -1.5, inverse_deviation: 0.5 };

impl Entry {
    /// For a kernel of `taps` and pooling windows of [bands, steps], on `batch` clips of the input.
    ///
    /// # Panics
    /// When the kernel or the window is larger than the shaders are written for.
    pub fn new(
        batch: u32,
        input: Spectrograms,
        out_channels: u32,
        lines: Lines,
        taps: u32,
        window: [u32; 2],
    ) -> Self {
        let pooling = Windows::new(lines, window);
        assert!(taps <= MOST_TAPS && pooling.window <= MOST_ALONG);
        assert!(window[0] * window[1] <= MOST_WINDOW);
        Self { batch, out_channels, lines, taps, before: taps / 2, pooling, input }
    }

    pub(super) fn out_quads(&self) -> u32 {
        self.out_channels.div_ceil(4)
    }

    /// Elements of the input.
    pub(super) fn inputs(&self) -> usize {
        self.batch as usize * self.lines.plane()
    }

    /// Windows of a quad of a clip.
    pub(super) fn pooled_plane(&self) -> usize {
        self.pooling.plane() as usize
    }

    /// Windows of all quads and clips.
    pub(super) fn pooled(&self) -> usize {
        (self.batch * self.out_quads()) as usize * self.pooled_plane()
    }

    /// What it costs to convolve so many times, and to read or write what pooling keeps.
    pub(super) fn cost(&self, convolutions: f64) -> Cost {
        let filters = f64::from(self.batch) * f64::from(self.out_channels);
        let reach = Reach { before: self.before, rows: 1, above: 0 };
        Cost {
            flops: 2.0 * convolutions * filters * reach.meetings(self.lines),
            bytes: 4.0 * (self.inputs() + 5 * self.pooled()) as f64,
        }
    }

    /// The standardised input of each clip, \[plane\].
    pub(super) fn clips<T: Real>(&self, input: &[T]) -> Vec<Vec<T>> {
        input.chunks(self.lines.plane()).map(|clip| self.input.standardised(clip)).collect()
    }

    /// The activation of one clip and one quad, [plane, 4]; the reference of both directions.
    pub(super) fn activation<T: Real>(
        &self,
        quad: usize,
        input: &[T],
        weight: &[T],
        bias: &[T],
    ) -> Vec<T> {
        let weight = |c: usize, tap: u32| {
            let at = (4 * quad + c) * self.taps as usize + tap as usize;
            weight.get(at).copied().unwrap_or_else(T::zero)
        };
        let bias = of_quad(bias, quad);
        let mut output: Vec<T> = (0..self.lines.plane()).flat_map(|_| bias).collect();
        for tap in 0..self.taps {
            let w = [0, 1, 2, 3].map(|c| weight(c, tap));
            for (to, from, run) in self.lines.overlaps(i64::from(tap) - i64::from(self.before), 0) {
                let to = output[4 * to..4 * (to + run)].chunks_exact_mut(4);
                for (y, &x) in to.zip(&input[from..from + run]) {
                    for (y, &w) in y.iter_mut().zip(&w) {
                        *y += w * x;
                    }
                }
            }
        }
        for y in &mut output {
            *y = y.max(T::zero());
        }
        output
    }
}

/// A first block to verify at: batch, channels, kernel, plane and window, these [bands, steps].
type Shape = (&'static str, u32, u32, [u32; 2], [u32; 2], [u32; 2]);

/// What both kernels are verified at.
const SHAPES: [Shape; 3] = [
    ("minimal", 1, 1, [1, 1], [1, 1], [1, 1]),
    ("typical, over time", 1, 16, [1, 9], [32, 1292], [2, 2]),
    ("typical, over frequency", 1, 16, [9, 1], [128, 323], [4, 4]),
];

/// The cases of [`SHAPES`] and of a kernel's own.
pub(super) fn cases<K: Kernel>(own: &[Shape], params: impl Fn(Entry) -> K) -> Vec<Case<K>> {
    let case = |&(name, batch, channels, kernel, [bands, steps], window): &Shape| {
        let lines = Lines::new(kernel, bands, steps);
        let taps = kernel[0].max(kernel[1]);
        Case::new(name, params(Entry::new(batch, EXACT, channels, lines, taps, window)))
    };
    SHAPES.iter().chain(own).map(case).collect()
}

/// Numbers of which sums of products are exact in f32, so that no rounding decides on which side of
/// ReLU's kink an activation lies or which of a window is the greatest: multiples of 1/16, whose
/// products with the nine taps, halved by [`EXACT`], stay far below 2²⁴ multiples of 1/512.
pub(super) fn exact() -> Draw {
    Draw::Among((-48_i8..=48).map(|i| f32::from(i) / 16.0).collect())
}
