//! Convolutions along one axis: 1 × k (over time) or k × 1 (over frequency) kernels, "same" zero
//! padding.
//!
//! Activations hold channels in quads, [clip, channel/4, band, step, channel%4]: every load is an
//! aligned vec4 and 4 × 4 channels meet in one matrix product. Channels past the last are zero.
//! Only a branch's input has a single channel and is planar, [clip, band, step]; the `entry_`
//! kernels read it.

pub mod entry_backward;
pub mod entry_forward;
pub mod entry_reduce;
pub mod forward;
pub mod input_gradient;
pub mod pack;
pub mod weight_gradient;
pub mod weight_gradient_reduce;

use rayon::prelude::*;

use crate::kernels::{Real, UNIFORM_WINDOW, cover};

/// Positions that a thread computes of a line.
const TILE: u32 = 16;
/// Threads of a workgroup.
const LANES: u32 = 64;
/// The largest kernel: what a thread keeps in registers.
pub const MOST_TAPS: u32 = 9;

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
        if kernel[0] > 1 {
            Self { length: bands, lines: steps, along: steps, across: 1 }
        } else {
            Self { length: steps, lines: bands, along: 1, across: steps }
        }
    }

    fn plane(&self) -> usize {
        (self.length * self.lines) as usize
    }

    /// Workgroups that cover a plane in tiles.
    fn tile_groups(&self) -> u32 {
        cover(self.length.div_ceil(TILE) * self.lines, LANES)
    }

    /// The row of partials that a position belongs to: its thread's workgroup.
    fn tile_group(&self, line: u32, position: u32) -> usize {
        let tiles = self.length.div_ceil(TILE);
        let tile = position / TILE;
        let item = if self.across == 1 { tile * self.lines + line } else { line * tiles + tile };
        (item / LANES) as usize
    }

    /// Pairs of runs of memory (output start, input start, length) in which every output position
    /// p meets input position p + offset, in the order of memory.
    fn overlaps(&self, offset: i64) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let Self { length, lines, along, across } = *self;
        let low = (-offset).max(0);
        let high = i64::from(length) - offset.max(0);
        let (rows, run, start) = if along == 1 {
            (0..i64::from(lines), (high - low).max(0), low)
        } else {
            (low..high.max(low), i64::from(lines), 0)
        };
        let stride = i64::from(if along == 1 { across } else { along });
        let shift = offset * i64::from(along);
        rows.map(move |row| {
            let out = row * stride + start;
            (out as usize, (out + shift) as usize, run as usize)
        })
        .filter(|&(_, _, run)| run > 0)
    }

    /// How many (position, tap) pairs lie inside the plane: the multiply-adds of a channel pair.
    fn meetings(&self, taps: Taps) -> f64 {
        (0..taps.used)
            .map(|tap| {
                let offset = (i64::from(tap) - i64::from(taps.before)).abs();
                (i64::from(self.length) - offset).max(0) as f64 * f64::from(self.lines)
            })
            .sum()
    }
}

/// Which taps of a kernel are used: those that can meet something other than padding.
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
}

/// Matrices that the packed weights of one quad take for `quads` quads on the other side: a multiple
/// of 4, so that a uniform window may begin at any of them.
pub const fn quad_matrices(quads: u32, groups: u32) -> u32 {
    (quads * 3 * groups).next_multiple_of(4)
}

/// Matrices in a uniform window.
const WINDOW: u32 = UNIFORM_WINDOW as u32 / 64;

/// The quads of each launch, as (first, count), that together make `quads` with no more weights in
/// one launch than a uniform window holds; `others` quads are on the other side.
///
/// # Panics
/// When not even one quad's weights fit; presets that ask for that are refused.
pub fn launches(quads: u32, others: u32, groups: u32) -> Vec<(u32, u32)> {
    let most = WINDOW / quad_matrices(others, groups);
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
    /// Positions of a window along a line, and lines of a window.
    pub along: u32,
    pub lines: u32,
    /// What one position or one line adds to a place in a window, counted row by row.
    pub code_along: u32,
    pub code_across: u32,
    /// Whole windows along a line, and whole rows of windows.
    pub count: u32,
    pub rows: u32,
    /// Distance in the pooled plane between neighbours.
    pub pooled_along: u32,
    pub pooled_across: u32,
}

/// Positions of a pooling window at most: a place in it fits a byte.
pub const MOST_WINDOW: u32 = 256;

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
    let channel = |values: &[T], c: usize, stride: usize, at: usize| {
        values.get((4 * quad + c) * stride + at).copied().unwrap_or_else(T::zero)
    };
    let first = [0, 1, 2, 3].map(|c| channel(bias, c, 1, 0));
    let mut output: Vec<T> = (0..lines.plane()).flat_map(|_| first).collect();
    for tap in 0..taps {
        let w = [0, 1, 2, 3].map(|c| channel(weight, c, taps as usize, tap as usize));
        for (to, from, run) in lines.overlaps(i64::from(tap) - i64::from(taps / 2)) {
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

/// Convolves planes of quads; the reference of the forward pass and of the input gradient.
///
/// `input` holds [in_quads, plane] of one clip, `weight` [in_quads, padded] matrices for the one
/// output quad that `output` (plane) is for.
fn convolve<T: Real>(
    lines: Lines,
    before: u32,
    padded: usize,
    input: &[T],
    weight: &[T],
    output: &mut [T],
) {
    let plane = 4 * lines.plane();
    for (input, weight) in input.chunks(plane).zip(weight.chunks(16 * padded)) {
        for (tap, w) in (0..).zip(weight.chunks(16)) {
            for (to, from, run) in lines.overlaps(tap - i64::from(before)) {
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

/// Adds ReLU and gathers a plane's batch-norm sums: `partial` is [tile groups, out_quads, 2, 4],
/// of which quad `quad` is written.
fn finish<T: Real>(
    lines: Lines,
    quad: usize,
    out_quads: usize,
    pivot: &[T],
    output: &mut [T],
    partial: &mut [T],
) {
    for group in partial.chunks_mut(8 * out_quads) {
        group[8 * quad..8 * quad + 8].fill(T::zero());
    }
    for y in output.iter_mut() {
        *y = y.max(T::zero());
    }
    let pivot = [0, 1, 2, 3].map(|c| pivot.get(4 * quad + c).copied().unwrap_or_else(T::zero));
    for line in 0..lines.lines {
        let place = |position| 8 * (lines.tile_group(line, position) * out_quads + quad);
        add_sums(lines, line, TILE, output, pivot, place, partial);
    }
}

/// Adds a line's Σ (x − pivot) and Σ (x − pivot)² to `partial`, tile by tile; `place` tells where a
/// tile's eight sums lie. A tile is summed on its own: one long f32 sum loses digits.
fn add_sums<T: Real>(
    lines: Lines,
    line: u32,
    tile: u32,
    values: &[T],
    pivot: [T; 4],
    place: impl Fn(u32) -> usize,
    partial: &mut [T],
) {
    for first in (0..lines.length).step_by(tile as usize) {
        let mut sums = [T::zero(); 8];
        for position in first..(first + tile).min(lines.length) {
            let at = 4 * (line * lines.across + position * lines.along) as usize;
            for c in 0..4 {
                let distance = values[at + c] - pivot[c];
                sums[c] += distance;
                sums[4 + c] += distance * distance;
            }
        }
        let start = place(first);
        for (total, sum) in partial[start..start + 8].iter_mut().zip(sums) {
            *total += sum;
        }
    }
}

/// Positions of a segment in a weight gradient: long enough that filling the window of inputs is
/// a small part of the work.
const SEGMENT: u32 = 64;
/// Splits of a weight gradient at most: workgroups enough for a GPU, partials few enough to add.
const MOST_SPLITS: u32 = 16;

/// How a weight gradient walks the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    pub segment: u32,
    pub segments: u32,
    /// Workgroups that share the segments of `clips` clips.
    pub splits: u32,
}

impl Walk {
    pub fn new(lines: Lines, clips: u32) -> Self {
        let segments = lines.length.div_ceil(SEGMENT);
        let segment = lines.length.div_ceil(segments);
        let items = clips * segments * lines.lines;
        Self { segment, segments, splits: cover(items, LANES).min(MOST_SPLITS) }
    }

    /// The split that walks the segment a position lies in.
    fn split(&self, lines: Lines, clip: u32, line: u32, position: u32) -> usize {
        let segment = position / self.segment;
        let within = if lines.across == 1 {
            segment * lines.lines + line
        } else {
            line * self.segments + segment
        };
        let item = clip * self.segments * lines.lines + within;
        (item / LANES % self.splits) as usize
    }
}
