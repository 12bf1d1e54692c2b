//! Convolutions with "same" zero padding, seen along lines: rows of positions along a kernel's
//! longer axis. A 1 × k or k × 1 kernel stays on its line; others add up over lines side by side.
//!
//! Activations hold channels in quads, [clip, channel/4, band, step, channel%4]: every load is an
//! aligned vec4 and 4 × 4 channels meet in one matrix product. Channels past the last are zero.
//! Only a branch's input, the log-mel spectrograms, has a single channel and is planar, [clip, band,
//! step]. The `entry_` kernels standardise it as they read it, and `spread` puts it into quads for
//! kernels and pools that they do not take.

pub mod entry_backward;
pub mod entry_forward;
pub mod entry_reduce;
pub mod forward;
pub mod input_gradient;
mod packing;
pub mod spread;
pub mod weight_gradient;
pub mod weight_gradient_reduce;

use rayon::prelude::*;

use crate::kernels::verify::Draw;
use crate::kernels::{Real, UNIFORM_WINDOW};

pub use packing::packing;

/// The largest kernel of the `entry_` kernels: what a thread keeps in registers.
const MOST_TAPS: u32 = 9;

/// Which way a kernel runs, and over which plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Positions along a line.
    pub length: u32,
    /// Lines of a plane.
    pub lines: u32,
    /// Distance in memory between neighbours on a line.
    pub along: u32,
    /// Distance in memory between neighbouring lines.
    pub across: u32,
}

impl Lines {
    /// Lines through a [bands, steps] plane for a kernel of `kernel` = [frequency, time] taps.
    pub fn new(kernel: [u32; 2], bands: u32, steps: u32) -> Self {
        if kernel[0] > kernel[1] {
            Self { length: bands, lines: steps, along: steps, across: 1 }
        } else {
            Self { length: steps, lines: bands, along: 1, across: steps }
        }
    }

    fn plane(&self) -> usize {
        (self.length * self.lines) as usize
    }

    /// Tiles of so many positions of a line that cover a plane.
    fn tiles(&self, positions: u32) -> u32 {
        self.length.div_ceil(positions) * self.lines
    }

    /// Pairs of runs of memory (output start, input start, length) in which every output position
    /// meets the input `offset` positions further along its line and `lines_off` lines further, in
    /// the order of memory.
    fn overlaps(
        &self,
        offset: i64,
        lines_off: i64,
    ) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let Self { length, lines, along, across } = *self;
        let inside = |offset: i64, size: u32| {
            let low = (-offset).max(0);
            low..(i64::from(size) - offset.max(0)).max(low)
        };
        let (positions, lines) = (inside(offset, length), inside(lines_off, lines));
        let shift = offset * i64::from(along) + lines_off * i64::from(across);
        let (rows, run, stride) =
            if along == 1 { (lines, positions, across) } else { (positions, lines, along) };
        rows.map(move |row| {
            let out = row * i64::from(stride) + run.start;
            (out as usize, (out + shift) as usize, (run.end - run.start) as usize)
        })
        .filter(|&(_, _, run)| run > 0)
    }
}

/// Which taps along one axis of a kernel are used: those that can meet something other than
/// padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// Taps that the parameter tensor holds.
    pub stored: u32,
    /// The first used one.
    pub first: u32,
    /// How many are used.
    pub used: u32,
    /// Used taps before the centre.
    pub before: u32,
}

impl Taps {
    /// Of a kernel of `stored` (odd) taps on lines of `length` positions.
    pub fn new(stored: u32, length: u32) -> Self {
        let before = (stored / 2).min(length - 1);
        Self { stored, first: stored / 2 - before, used: 2 * before + 1, before }
    }

    /// Groups of three in which the kernels walk the taps.
    pub fn groups(self) -> u32 {
        self.used.div_ceil(3)
    }

    /// How many (position, tap) pairs lie inside `length` positions.
    fn meetings(self, length: u32) -> f64 {
        (0..self.used).map(|tap| f64::from(length.saturating_sub(tap.abs_diff(self.before)))).sum()
    }
}

/// The taps of a whole kernel, seen along the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Along a line.
    pub along: Taps,
    /// Lines that a kernel spans: one, where it is 1 × k or k × 1.
    pub across: Taps,
    /// Distance in the stored kernel, [bands, steps], between neighbouring taps along a line.
    pub along_stride: u32,
    /// The same across lines.
    pub across_stride: u32,
}

impl Footprint {
    /// Of a [bands, steps] kernel on these lines.
    pub fn new(kernel: [u32; 2], lines: Lines) -> Self {
        let [rows, columns] = kernel;
        let (stored, strides) = if rows > columns {
            ([rows, columns], [columns, 1])
        } else {
            ([columns, rows], [1, columns])
        };
        Self {
            along: Taps::new(stored[0], lines.length),
            across: Taps::new(stored[1], lines.lines),
            along_stride: strides[0],
            across_stride: strides[1],
        }
    }

    /// Taps that the parameter tensor holds for a pair of channels.
    pub fn stored(&self) -> u32 {
        self.along.stored * self.across.stored
    }

    /// Where the first used tap is stored.
    fn first(&self) -> u32 {
        self.along.first * self.along_stride + self.across.first * self.across_stride
    }
}

/// Matrices that the packed weights of one quad take for `quads` quads on the other side, `rows`
/// lines and `groups` of taps: a multiple of 4, so that a uniform window may begin at any quad.
pub const fn quad_matrices(quads: u32, rows: u32, groups: u32) -> u32 {
    (quads * rows * 3 * groups).next_multiple_of(4)
}

/// Matrices in a uniform window.
const WINDOW: u32 = UNIFORM_WINDOW as u32 / 64;

/// The quads of each launch, as (first, count), that together make `quads` with no more weights in
/// one launch than a uniform window holds; `others` quads are on the other side.
///
/// # Panics
/// When not even one quad's weights fit; presets that ask for that are refused.
pub fn launches(quads: u32, others: u32, footprint: Footprint) -> Vec<(u32, u32)> {
    let most = WINDOW / quad_matrices(others, footprint.across.used, footprint.along.groups());
    assert!(most > 0, "the weights of a quad for {others} others exceed a uniform window");
    let launches = quads.div_ceil(most);
    // As even as can be.
    (0..launches)
        .map(|launch| {
            let [first, end] = [launch, launch + 1].map(|n| n * quads / launches);
            (first, end - first)
        })
        .collect()
}

/// The windows of max pooling, seen along lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Positions of a window along a line.
    pub along: u32,
    /// Lines of a window.
    pub lines: u32,
    /// What one position adds to a place in a window, counted row by row.
    pub code_along: u32,
    /// What one line adds to it.
    pub code_across: u32,
    /// Whole windows along a line.
    pub count: u32,
    /// Whole rows of windows.
    pub rows: u32,
    /// Distance in the pooled plane between neighbours along a line.
    pub pooled_along: u32,
    /// The same across lines.
    pub pooled_across: u32,
}

/// Positions of a pooling window of the `entry_` kernels at most: a place in it fits a byte.
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

/// Whether the weights of a quad for `channels` channels on the other side fit a uniform window.
pub fn weights_fit(channels: u32, kernel: [u32; 2]) -> bool {
    let [rows, columns] = kernel.map(u64::from);
    let (across, along) = (rows.min(columns), rows.max(columns));
    let matrices = u64::from(channels.div_ceil(4)) * across * along.next_multiple_of(3);
    matrices <= u64::from(WINDOW)
}

impl Windows {
    /// Windows of [bands, steps] positions.
    pub fn new(lines: Lines, [bands, steps]: [u32; 2]) -> Self {
        if lines.along == 1 {
            let count = lines.length / steps;
            Self {
                along: steps,
                lines: bands,
                code_along: 1,
                code_across: steps,
                count,
                rows: lines.lines / bands,
                pooled_along: 1,
                pooled_across: count,
            }
        } else {
            let rows = lines.lines / steps;
            Self {
                along: bands,
                lines: steps,
                code_along: steps,
                code_across: 1,
                count: lines.length / bands,
                rows,
                pooled_along: rows,
                pooled_across: 1,
            }
        }
    }

    /// Windows of a pooled plane.
    pub fn plane(&self) -> u32 {
        self.count * self.rows
    }

    /// The window that a position lies in, as an index into the pooled plane, and its place there;
    /// none in a remainder.
    fn locate(&self, line: u32, position: u32) -> Option<(usize, u32)> {
        let (window, row) = (position / self.along, line / self.lines);
        (window < self.count && row < self.rows).then(|| {
            let at = window * self.pooled_along + row * self.pooled_across;
            let place =
                position % self.along * self.code_along + line % self.lines * self.code_across;
            (at as usize, place)
        })
    }
}

/// How a first block standardises spectrograms in dB: (x − mean) · inverse_deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spectrograms {
    /// Of the training clips, in dB.
    pub mean: f32,
    /// Of the training clips, in 1/dB.
    pub inverse_deviation: f32,
}

impl Spectrograms {
    /// For cases: what is exact stays exact.
    const EXACT: Self = Self { mean: -1.5, inverse_deviation: 0.5 };

    /// The spectrogram of each clip, \[plane\].
    fn standardised<T: Real>(&self, input: &[T], plane: usize) -> Vec<Vec<T>> {
        let [mean, inverse] = [self.mean, self.inverse_deviation].map(|x| T::of(f64::from(x)));
        let standardise = |clip: &[T]| clip.iter().map(|&x| (x - mean) * inverse).collect();
        input.chunks(plane).map(standardise).collect()
    }
}

/// The activation of a branch's first block for one clip and one quad, [plane, 4]; the reference
/// of both directions.
fn entry_activation<T: Real>(
    lines: Lines,
    taps: u32,
    quad: usize,
    input: &[T],
    weight: &[T],
    bias: &[T],
) -> Vec<T> {
    let weight = |c: usize, tap: u32| {
        let at = (4 * quad + c) * taps as usize + tap as usize;
        weight.get(at).copied().unwrap_or_else(T::zero)
    };
    let bias = of_quad(bias, quad);
    let mut output: Vec<T> = (0..lines.plane()).flat_map(|_| bias).collect();
    for tap in 0..taps {
        let w = [0, 1, 2, 3].map(|c| weight(c, tap));
        for (to, from, run) in lines.overlaps(i64::from(tap) - i64::from(taps / 2), 0) {
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

/// Numbers of which sums of products are exact in f32, so that no rounding decides on which side of
/// ReLU's kink an activation lies or which of a window is the greatest: multiples of 1/16, whose
/// products with the nine taps, halved by [`Spectrograms::EXACT`], stay far below 2²⁴ multiples of
/// 1/512.
fn exact() -> Draw {
    Draw::Among((-48_i8..=48).map(|i| f32::from(i) / 16.0).collect())
}

/// Multiply-adds of a pair of channels for a kernel with these taps and lines before its centre.
fn meetings(lines: Lines, before: u32, above: u32) -> f64 {
    let taps = |before| Taps { stored: 0, first: 0, used: 2 * before + 1, before };
    taps(before).meetings(lines.length) * taps(above).meetings(lines.lines)
}

/// Convolves planes of quads; the reference of the forward pass and of the input gradient.
///
/// `input` holds [in_quads, plane] of one clip, `weight` [in_quads, rows, padded] matrices for the
/// one output quad that `output` (plane) is for; `before` taps of a row and `above` rows come before
/// the centre.
fn convolve<T: Real>(
    lines: Lines,
    [before, above]: [u32; 2],
    [rows, padded]: [usize; 2],
    input: &[T],
    weight: &[T],
    output: &mut [T],
) {
    let plane = 4 * lines.plane();
    for (input, weight) in input.chunks(plane).zip(weight.chunks(16 * rows * padded)) {
        for (tap, w) in weight.chunks(16).enumerate() {
            let offset = (tap % padded) as i64 - i64::from(before);
            let lines_off = (tap / padded) as i64 - i64::from(above);
            for (to, from, run) in lines.overlaps(offset, lines_off) {
                let to = &mut output[4 * to..4 * (to + run)];
                let from = &input[4 * from..4 * (from + run)];
                for (y, x) in to.chunks_exact_mut(4).zip(from.chunks_exact(4)) {
                    for (w, &x) in w.chunks_exact(4).zip(x) {
                        for (y, &w) in y.iter_mut().zip(w) {
                            *y += w * x;
                        }
                    }
                }
            }
        }
    }
}

/// The input as the convolution sees it: scaled per channel.
fn scaled<T: Real>(input: &[T], affine: &[T], in_quads: usize, plane: usize) -> Vec<T> {
    let (scale, shift) = affine.split_at(4 * in_quads);
    let mut result = vec![T::zero(); input.len()];
    result.par_chunks_mut(4 * plane).zip(input.par_chunks(4 * plane)).enumerate().for_each(
        |(index, (to, from))| {
            let at = 4 * (index % in_quads);
            for (to, from) in to.chunks_exact_mut(4).zip(from.chunks_exact(4)) {
                for c in 0..4 {
                    to[c] = from[c] * scale[at + c] + shift[at + c];
                }
            }
        },
    );
    result
}

/// One of `quads` quads of every clip, plane by plane.
fn planes<T>(values: &[T], plane: usize, [quad, quads]: [usize; 2]) -> impl Iterator<Item = &[T]> {
    values.chunks(plane).skip(quad).step_by(quads)
}

/// Σ (x − pivot), then Σ (x − pivot)², of the four channels of a quad, over planes of it.
fn sums_around<'a, T: Real>(pivot: [T; 4], planes: impl Iterator<Item = &'a [T]>) -> [f64; 8] {
    let mut sums = [0.0; 8];
    for position in planes.flat_map(|plane| plane.chunks_exact(4)) {
        for c in 0..4 {
            let distance = (position[c] - pivot[c]).double();
            sums[c] += distance;
            sums[4 + c] += distance * distance;
        }
    }
    sums
}

/// The entries of a quad's channels in a vector over channels; zero past the last one.
fn of_quad<T: Real>(values: &[T], quad: usize) -> [T; 4] {
    [0, 1, 2, 3].map(|c| values.get(4 * quad + c).copied().unwrap_or_else(T::zero))
}

/// How the workgroups of a gradient to weights share the lines. Each leaves a share of the sums.
struct Walk {
    /// Threads of a workgroup.
    lanes: u32,
    /// Positions of a line that are walked at a time, at most: long enough that filling the window
    /// of inputs is a small part of the work.
    segment: u32,
    /// Shares at most: workgroups enough for a GPU, shares few enough to add.
    shares: u32,
}
