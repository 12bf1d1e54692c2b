//! Banks of filters over spectrograms, as MusiCNN begins: convolutions of the one input channel, "same"
//! over time and "valid" over frequency, of which the maximum over all frequencies is kept. High
//! filters find timbres at any pitch, long ones rhythms in any band (Pons et al. 2017).
//!
//! A line is a row of positions along the kernel's longer axis: over frequency for a vertical kernel,
//! else over time. The input is planar, [clip, band, step], and standardised as it is read; channels of
//! the output lie in quads.

pub mod backward;
pub mod forward;
mod packing;
pub mod weight_gradient;

use rayon::prelude::*;

use crate::kernels::features::Spectrograms;
use crate::kernels::layers::conv::of_quad;
use crate::kernels::layers::pack::ABSENT;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Constants, Cost, Grid, Real, UNIFORM_WINDOW, cover, parameters};

pub use packing::packing;

/// Frequencies of an output at most: the one that the maximum keeps fits a byte.
pub const MOST_FREQUENCIES: u32 = 256;

parameters! {
    /// A bank of filters on a batch of spectrograms.
    pub struct Filters {
        /// Clips of a launch.
        pub clips: u32,
        /// The first of them.
        pub first_clip: u32,
        /// Clips that the tensors hold, but for the gradient to the convolution.
        pub batch: u32,
        /// Channels of the output.
        pub out_channels: u32,
        /// Positions of the input along a line.
        pub length: u32,
        /// Lines of the input.
        pub lines: u32,
        /// Distance in the input between neighbours on a line.
        pub along: u32,
        /// Distance in the input between neighbouring lines.
        pub across: u32,
        /// Positions of the output along a line.
        pub out_length: u32,
        /// Lines of the output.
        pub out_lines: u32,
        /// Taps along a line.
        pub taps: u32,
        /// Taps before the position.
        pub before: u32,
        /// Lines that the kernel spans.
        pub rows: u32,
        /// Lines before the position.
        pub above: u32,
        /// What standardises the input.
        pub input: Spectrograms,
    }
}

impl Filters {
    /// Of a kernel and on planes, both [bands, steps].
    ///
    /// # Panics
    /// When the kernel is higher than the plane, or leaves more frequencies than a byte counts.
    pub fn new(
        clips: u32,
        input: Spectrograms,
        out_channels: u32,
        [rows, columns]: [u32; 2],
        [bands, steps]: [u32; 2],
    ) -> Self {
        let frequencies = bands + 1 - rows;
        assert!((1..=MOST_FREQUENCIES).contains(&frequencies));
        // "Same": an even kernel has one tap more behind the position than before it.
        let before = (columns - 1) / 2;
        let vertical = Self {
            clips,
            first_clip: 0,
            batch: clips,
            out_channels,
            length: bands,
            lines: steps,
            along: steps,
            across: 1,
            out_length: frequencies,
            out_lines: steps,
            taps: rows,
            before: 0,
            rows: columns,
            above: before,
            input,
        };
        match rows > columns {
            true => vertical,
            false => Self {
                length: steps,
                lines: bands,
                along: 1,
                across: steps,
                out_length: steps,
                out_lines: frequencies,
                taps: columns,
                before,
                rows,
                above: 0,
                ..vertical
            },
        }
    }

    /// Some clips of tensors of a batch.
    pub fn of_batch(self, batch: u32, first_clip: u32) -> Self {
        Self { first_clip, batch, ..self }
    }

    fn vertical(&self) -> bool {
        self.across == 1 && self.along == self.lines
    }

    fn quads(&self) -> usize {
        self.out_channels.div_ceil(4) as usize
    }

    /// Frequencies and steps of the output before the maximum.
    fn plane(&self) -> [usize; 2] {
        let [length, lines] = [self.out_length, self.out_lines].map(|n| n as usize);
        if self.vertical() { [length, lines] } else { [lines, length] }
    }

    /// Elements of the input.
    fn inputs(&self) -> usize {
        (self.batch * self.length * self.lines) as usize
    }

    /// Places of a quad of all clips after the maximum.
    fn pooled(&self) -> usize {
        self.batch as usize * self.quads() * self.plane()[1]
    }

    /// Places of a quad of a launch's clips before the maximum.
    fn activations(&self) -> usize {
        let [frequencies, steps] = self.plane();
        self.clips as usize * self.quads() * frequencies * steps
    }

    /// Elements of a quad's packed weights: a multiple of 64, so that a uniform window may begin at
    /// any quad.
    fn quad_weights(&self) -> usize {
        packed_weights([self.rows, self.taps]) as usize
    }

    /// Frequency and time from a position of the output to the input of a line's tap, and where the
    /// weights of the tap lie among a quad's.
    fn offsets(&self) -> impl Iterator<Item = (i64, i64, usize)> + use<> {
        let Self { rows, taps, before, above, .. } = *self;
        let vertical = self.vertical();
        (0..rows).flat_map(move |r| (0..taps).map(move |t| (r, t))).map(move |(r, t)| {
            let row = i64::from(r) - i64::from(above);
            let tap = i64::from(t) - i64::from(before);
            let at = 4 * (r * taps.next_multiple_of(GROUP) + t) as usize;
            if vertical { (tap, row, at) } else { (row, tap, at) }
        })
    }

    fn constants(&self) -> Constants {
        vec![("VERTICAL", f64::from(u8::from(self.vertical())))]
    }

    /// What it costs to convolve so many times.
    fn cost(&self, convolutions: f64) -> f64 {
        let [frequencies, steps] = self.plane();
        let [length, before] =
            if self.vertical() { [self.rows, self.above] } else { [self.taps, self.before] };
        let high = if self.vertical() { self.taps } else { self.rows };
        // Pairs of a step and a tap that lie inside the clip.
        let inside = |tap: u32| steps.saturating_sub(tap.abs_diff(before) as usize);
        let meetings: usize = (0..length).map(inside).sum();
        let filters = f64::from(self.clips) * f64::from(self.out_channels);
        2.0 * convolutions * filters * f64::from(high) * frequencies as f64 * meetings as f64
    }

    /// The standardised input of each clip of a launch, \[plane\].
    fn clips<T: Real>(&self, input: &[T]) -> Vec<Vec<T>> {
        let plane = (self.length * self.lines) as usize;
        let clips = input.chunks(plane).skip(self.first_clip as usize).take(self.clips as usize);
        clips.map(|clip| self.input.standardised(clip)).collect()
    }

    /// Runs of memory (output, input, length) along time in which the outputs meet the input that is
    /// so far away.
    fn overlaps(&self, df: i64, dt: i64) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let [frequencies, steps] = self.plane().map(|n| n as i64);
        let (from, to) = ((-dt).max(0), (steps - dt).min(steps));
        (0..frequencies).filter(move |_| from < to).map(move |f| {
            let out = f * steps + from;
            (out as usize, ((f + df) * steps + from + dt) as usize, (to - from) as usize)
        })
    }

    /// The activation of one clip and one quad, [4, frequencies, steps]; the reference of both
    /// directions. `weight` is the quad's.
    fn activation<T: Real>(&self, input: &[T], weight: &[T], bias: [T; 4]) -> Vec<T> {
        let [frequencies, steps] = self.plane();
        let plane = frequencies * steps;
        let mut output: Vec<T> = Vec::with_capacity(4 * plane);
        for (c, bias) in bias.into_iter().enumerate() {
            output.resize(output.len() + plane, bias);
            let output = &mut output[c * plane..];
            for (df, dt, at) in self.offsets() {
                let w = weight[at + c];
                for (to, from, run) in self.overlaps(df, dt) {
                    for (y, &x) in output[to..to + run].iter_mut().zip(&input[from..from + run]) {
                        *y += w * x;
                    }
                }
            }
        }
        output.iter_mut().for_each(|y| *y = y.max(T::zero()));
        output
    }
}

/// Elements that the packed weights of a quad take for a kernel of [lines, taps along a line].
fn packed_weights([rows, taps]: [u32; 2]) -> u32 {
    (4 * rows * taps.next_multiple_of(GROUP)).next_multiple_of(64)
}

/// Whether a quad's weights of a [bands, steps] kernel fit a uniform window.
pub fn weights_fit([rows, columns]: [u32; 2]) -> bool {
    let elements =
        u64::from(rows.min(columns)) * u64::from(rows.max(columns).next_multiple_of(GROUP));
    16 * elements <= UNIFORM_WINDOW
}

parameters! {
    /// One of the launches that compute the activation.
    pub struct Bank {
        /// The filters.
        pub filters: Filters,
        /// The first quad of this launch.
        pub first: u32,
        /// Quads of this launch.
        pub count: u32,
    }
}

/// Taps that a thread takes at a time.
const GROUP: u32 = 8;
/// Positions that a thread computes at a time.
const TILE: u32 = 16;
/// Lanes that share a tile of a kernel that is not vertical.
const BANDS: u32 = 32;

impl Bank {
    /// The launches that together compute all channels with no more weights in one than a uniform
    /// window holds.
    ///
    /// # Panics
    /// When not even one quad's weights fit; presets that ask for that are refused.
    pub fn launches(filters: Filters) -> impl Iterator<Item = Self> {
        let quads = filters.quads() as u32;
        let most = (UNIFORM_WINDOW / 4) as u32 / filters.quad_weights() as u32;
        assert!(most > 0, "the weights of a quad exceed a uniform window");
        let launches = quads.div_ceil(most);
        // As even as can be.
        (0..launches).map(move |launch| {
            let [first, end] = [launch, launch + 1].map(|n| n * quads / launches);
            Self { filters, first, count: end - first }
        })
    }

    fn quads(&self) -> std::ops::Range<usize> {
        self.first as usize..(self.first + self.count) as usize
    }

    /// Where this launch's weights begin.
    fn weights_start(&self) -> usize {
        self.first as usize * self.filters.quad_weights()
    }

    /// A lane for each step, or 32 for each tile of 16 steps.
    fn grid(&self) -> Grid {
        let Filters { clips, out_length, out_lines, .. } = self.filters;
        let lanes = match self.filters.vertical() {
            true => clips * out_lines,
            false => BANDS * clips * cover(out_length, TILE),
        };
        Grid { constants: self.filters.constants(), ..Grid::of([cover(lanes, 64), self.count, 1]) }
    }

    fn cost(&self, bytes: usize) -> Cost {
        let outs = (self.filters.out_channels - 4 * self.first).min(4 * self.count);
        let share = f64::from(outs) / f64::from(self.filters.out_channels);
        Cost {
            flops: share * self.filters.cost(1.0),
            bytes: 4.0 * (self.filters.inputs() as f64 + share * bytes as f64),
        }
    }

    /// Calls `each` with this launch's quads of every clip in parallel: the clip, the quad, its
    /// activation and the quad's own part of an output with so many elements a quad.
    fn for_each_quad<T: Real, U: Send>(
        &self,
        [input, weight, bias]: [&[T]; 3],
        (output, size): (&mut [U], usize),
        each: impl Fn(usize, usize, Vec<T>, &mut [U]) + Sync,
    ) {
        let inputs = self.filters.clips(input);
        let quads = self.filters.quads();
        output.par_chunks_mut(size).enumerate().for_each(|(at, output)| {
            let (clip, quad) = (at / quads, at % quads);
            if self.quads().contains(&quad) {
                let weight = &weight[quad * self.filters.quad_weights()..];
                let bias = of_quad(bias, quad);
                each(clip, quad, self.filters.activation(&inputs[clip], weight, bias), output);
            }
        });
    }
}

/// Filters to verify at: clips, channels, kernel and plane, both [bands, steps].
type Shape = (&'static str, u32, u32, [u32; 2], [u32; 2]);

/// What all kernels of a bank are verified at.
const SHAPES: [Shape; 8] = [
    ("minimal", 1, 1, [1, 1], [1, 1]),
    ("minimal, vertical", 1, 1, [2, 1], [2, 1]),
    ("odd, vertical", 3, 7, [5, 3], [23, 37]),
    ("odd, over time", 3, 6, [1, 6], [37, 21]),
    ("odd, over both", 2, 5, [2, 7], [9, 33]),
    ("longer than the clip", 1, 4, [1, 32], [3, 19]),
    ("typical, vertical", 1, 8, [38, 7], [96, 187]),
    ("typical, over time", 1, 8, [1, 64], [96, 187]),
];

/// For cases: what is exact stays exact.
const EXACT: Spectrograms = Spectrograms { mean: -1.5, inverse_deviation: 0.5 };

/// The cases of [`SHAPES`].
fn cases<K: crate::kernels::Kernel>(params: impl Fn(Filters) -> K) -> Vec<Case<K>> {
    let case = |(name, clips, channels, kernel, plane): Shape| {
        Case::new(name, params(Filters::new(clips, EXACT, channels, kernel, plane)))
    };
    SHAPES.into_iter().map(case).collect()
}

/// Packed weights of [`exact`] numbers, zero where no parameter lies.
fn exact_weights(filters: &Filters) -> Draw {
    let kernel = match filters.vertical() {
        true => [filters.taps, filters.rows],
        false => [filters.rows, filters.taps],
    };
    let number = |place: u32| match place {
        ABSENT => 0.0,
        // A walk without a short period.
        _ => ((place.wrapping_mul(2_654_435_761) >> 16) % 17) as f32 / 4.0 - 2.0,
    };
    Draw::Values(packing(filters.out_channels, kernel).into_iter().map(number).collect())
}

/// Numbers of which sums of products are exact in f32, so that no rounding decides on which side of
/// ReLU's kink an activation lies or which frequency has the maximum: multiples of ¼, whose products
/// with hundreds of taps stay far below 2²⁴ multiples of 1/32.
fn exact() -> Draw {
    Draw::Among((-8_i8..=8).map(|i| f32::from(i) / 4.0).collect())
}
