//! Convolutions with "same" zero padding, seen along lines: rows of positions along a kernel's
//! longer axis. A 1 × k or k × 1 kernel stays on its line; others add up over lines side by side.
//!
//! Activations hold channels in quads, [clip, channel/4, band, step, channel%4]: every load is an
//! aligned vec4 and 4 × 4 channels meet in one matrix product. Channels past the last are zero.
//! Only a branch's input, the log-mel spectrograms, has a single channel and is planar, [clip, band,
//! step]. The `entry_` kernels standardise it as they read it, and `spread` puts it into quads for
//! kernels and pools that they do not take.

mod entry;
pub mod entry_backward;
pub mod entry_forward;
pub mod entry_reduce;
pub mod forward;
pub mod input_gradient;
mod packing;
pub mod spread;
pub mod weight_gradient;
pub mod weight_gradient_reduce;
pub mod wide_forward;

use std::ops::Range;

use rayon::prelude::*;

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Kernel, Real, UNIFORM_WINDOW, parameters};

pub use entry::{Entry, Windows, entry_takes};
pub use packing::packing;

parameters! {
    /// Which way a kernel runs, and over which plane.
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

    /// How far it reaches.
    fn reach(&self) -> Reach {
        Reach { before: self.along.before, rows: self.across.used, above: self.across.before }
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

parameters! {
    /// The used taps of a kernel.
    pub struct Reach {
        /// Taps before the centre.
        pub before: u32,
        /// Lines that the kernel spans.
        pub rows: u32,
        /// Lines before the centre.
        pub above: u32,
    }
}

impl Reach {
    /// Multiply-adds of a pair of channels.
    fn meetings(self, lines: Lines) -> f64 {
        let taps = |before| Taps { stored: 0, first: 0, used: 2 * before + 1, before };
        taps(self.before).meetings(lines.length) * taps(self.above).meetings(lines.lines)
    }
}

/// Matrices that the packed weights of one quad take for `quads` quads on the other side, `rows`
/// lines and `groups` of taps: a multiple of 4, so that a uniform window may begin at any quad.
pub const fn quad_matrices(quads: u32, rows: u32, groups: u32) -> u32 {
    (quads * rows * 3 * groups).next_multiple_of(4)
}

/// Matrices in a uniform window.
const WINDOW: u32 = UNIFORM_WINDOW as u32 / 64;

/// Whether the weights of a quad for `channels` channels on the other side fit a uniform window.
pub fn weights_fit(channels: u32, kernel: [u32; 2]) -> bool {
    let [rows, columns] = kernel.map(u64::from);
    let (across, along) = (rows.min(columns), rows.max(columns));
    let matrices = u64::from(channels.div_ceil(4)) * across * along.next_multiple_of(3);
    matrices <= u64::from(WINDOW)
}

parameters! {
    /// One of the launches that make the planes of some quads from those of the other side's, by
    /// packed weights: forward the output, backward the gradient to the input.
    pub struct Pass {
        /// The planes.
        pub lines: Lines,
        /// Groups of three taps along a line.
        pub groups: u32,
        /// The kernel's taps, reversed where it goes backward: there are as many after its centre as
        /// before.
        pub reach: Reach,
        /// The first quad of this launch.
        pub first: u32,
        /// Quads of this launch.
        pub count: u32,
    }
}

impl Pass {
    /// The launches that together make `quads` with no more weights in one than a uniform window
    /// holds; `others` quads are on the other side.
    ///
    /// # Panics
    /// When not even one quad's weights fit; presets that ask for that are refused.
    fn launches(
        quads: u32,
        others: u32,
        lines: Lines,
        footprint: Footprint,
    ) -> impl Iterator<Item = Self> {
        let (groups, reach) = (footprint.along.groups(), footprint.reach());
        let most = WINDOW / quad_matrices(others, reach.rows, groups);
        assert!(most > 0, "the weights of a quad for {others} others exceed a uniform window");
        let launches = quads.div_ceil(most);
        // As even as can be.
        (0..launches).map(move |launch| {
            let [first, end] = [launch, launch + 1].map(|n| n * quads / launches);
            Self { lines, groups, reach, first, count: end - first }
        })
    }

    fn quads(&self) -> Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }

    /// Elements of a quad's packed weights.
    fn quad_weights(&self, others: u32) -> usize {
        16 * quad_matrices(others, self.reach.rows, self.groups) as usize
    }

    /// Where this launch's weights begin.
    fn weights_start(&self, others: u32) -> usize {
        self.first as usize * self.quad_weights(others)
    }

    /// The operations of so many multiply-adds a tap, the bytes of `input` and of this launch's share
    /// of `weight` and `output`, given in elements.
    fn cost(&self, products: f64, input: usize, quads: u32, weight_and_output: usize) -> Cost {
        let share = f64::from(self.count) / f64::from(quads);
        Cost {
            flops: 2.0 * products * self.reach.meetings(self.lines),
            bytes: 4.0 * (input as f64 + share * weight_and_output as f64),
        }
    }

    /// Adds to a quad's plane what the other side's planes of the same clip give; the reference of
    /// both directions.
    fn convolve<T: Real>(&self, quad: usize, input: &[T], weight: &[T], output: &mut [T]) {
        let plane = 4 * self.lines.plane();
        let (rows, padded) = (self.reach.rows as usize, 3 * self.groups as usize);
        let weight = &weight[quad * self.quad_weights((input.len() / plane) as u32)..];
        for (input, weight) in input.chunks(plane).zip(weight.chunks(16 * rows * padded)) {
            for (tap, w) in weight.chunks(16).enumerate() {
                let offset = (tap % padded) as i64 - i64::from(self.reach.before);
                let lines_off = (tap / padded) as i64 - i64::from(self.reach.above);
                for (to, from, run) in self.lines.overlaps(offset, lines_off) {
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
pub(super) fn of_quad<T: Real>(values: &[T], quad: usize) -> [T; 4] {
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

/// A convolution to verify at: clips, channels [read, written], kernel and plane, both [bands, steps].
type Shape = (&'static str, u32, [u32; 2], [u32; 2], [u32; 2]);

/// What all kernels of a convolution over quads are verified at.
const SHAPES: [Shape; 9] = [
    ("minimal", 1, [1, 1], [1, 1], [1, 1]),
    ("odd, over time", 3, [5, 7], [1, 5], [3, 37]),
    ("odd, over frequency", 3, [9, 6], [7, 1], [19, 67]),
    ("typical, over time", 1, [16, 32], [1, 9], [32, 323]),
    ("typical, over frequency", 1, [16, 32], [9, 1], [32, 323]),
    ("whole tiles", 1, [4, 4], [1, 3], [16, 64]),
    ("taps that only meet padding", 2, [64, 64], [9, 1], [2, 20]),
    ("odd, over both", 2, [6, 5], [3, 5], [7, 21]),
    ("rows that only meet padding", 1, [4, 4], [9, 9], [2, 21]),
];

/// The cases of [`SHAPES`] and of a kernel's own.
fn cases<K: Kernel, const OWN: usize>(
    own: [Shape; OWN],
    params: impl Fn(u32, [u32; 2], Lines, Footprint) -> K,
) -> Vec<Case<K>> {
    let case = |(name, clips, channels, kernel, [bands, steps]): Shape| {
        let lines = Lines::new(kernel, bands, steps);
        Case::new(name, params(clips, channels, lines, Footprint::new(kernel, lines)))
    };
    SHAPES.into_iter().chain(own).map(case).collect()
}
