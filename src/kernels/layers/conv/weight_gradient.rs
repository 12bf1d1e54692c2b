//! Shares of a convolution's weight and bias gradient.

use rayon::prelude::*;

use super::{Footprint, Lines, MOST_TAPS, Walk, meetings, scaled};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Constants, Cost, Kernel, Real, kernel};

kernel! {
    "layers/conv/weight_gradient",
    pieces ["lines", "scaled_input"],
    params {
        clips: u32,
        in_quads: u32,
        out_quads: u32,
        length: u32,
        lines: u32,
        along: u32,
        across: u32,
        before: u32,
        /// Lines that the kernel spans, and those before the centre.
        rows: u32,
        above: u32,
        /// Runs of at most [`MOST_TAPS`] taps that a line of the kernel is cut into.
        runs: u32,
        segment: u32,
        segments: u32,
    },
    tensors {
        /// [clips, out_quads, bands, steps, 4]
        d_output: read f32,
        /// [clips, in_quads, bands, steps, 4]
        input: read f32,
        /// [2, in_quads, 4]: scale, then shift
        affine: read f32,
        /// [splits, out_quads, in_quads, rows, padded, 4 (in), 4 (out)]
        partial: write f32,
        /// [splits, out_quads, 4]
        bias_partial: write f32,
    },
}

impl Params {
    /// `channels` are those that the convolution reads and writes.
    pub fn new(clips: u32, channels: [u32; 2], lines: Lines, footprint: Footprint) -> Self {
        let walk = Walk::new(lines, clips);
        let Lines { length, lines, along, across } = lines;
        let [in_quads, out_quads] = channels.map(|n| n.div_ceil(4));
        let Walk { segment, segments, .. } = walk;
        Self {
            clips,
            in_quads,
            out_quads,
            length,
            lines,
            along,
            across,
            before: footprint.along.before,
            rows: footprint.across.used,
            above: footprint.across.before,
            runs: footprint.along.used.div_ceil(MOST_TAPS),
            segment,
            segments,
        }
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }

    fn taps(&self) -> u32 {
        2 * self.before + 1
    }

    /// Groups of three taps in a run.
    fn groups(&self) -> u32 {
        self.taps().min(MOST_TAPS).div_ceil(3)
    }

    /// Taps of a line of the kernel, in whole runs.
    pub fn padded(&self) -> u32 {
        3 * self.groups() * self.runs
    }

    /// Elements of `partial`.
    pub fn shares(&self) -> usize {
        let pairs = self.splits() * self.out_quads * self.in_quads;
        16 * (pairs * self.rows * self.padded()) as usize
    }

    /// Partial sums that `weight_gradient_reduce` adds up.
    pub fn splits(&self) -> u32 {
        Walk::new(self.geometry(), self.clips).splits
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.geometry().plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads].map(|n| n as usize);
        let splits = self.splits() as usize;
        Tensors {
            d_output: clips * outs * plane,
            input: clips * ins * plane,
            affine: 8 * ins,
            partial: self.shares(),
            bias_partial: splits * outs * 4,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.splits(), self.out_quads, self.in_quads * self.rows * self.runs]
    }

    fn constants(&self) -> Constants {
        vec![("GROUPS", f64::from(self.groups()))]
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let pairs = 16.0 * f64::from(self.in_quads) * f64::from(self.out_quads);
        Cost {
            flops: 2.0
                * f64::from(self.clips)
                * pairs
                * meetings(self.geometry(), self.before, self.above),
            bytes: 4.0 * (lengths.d_output + lengths.input + lengths.partial) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.geometry();
        let walk = Walk::new(lines, self.clips);
        let (ins, outs) = (self.in_quads as usize, self.out_quads as usize);
        let plane = 4 * lines.plane();
        let one = (16 * self.rows * self.padded()) as usize;
        let input = scaled(tensors.input, tensors.affine, ins, lines.plane());
        let splits = walk.splits as usize;
        // [out quad][in quad][split, rows, padded, 4, 4], put into place at the end.
        let sums: Vec<Vec<T>> = (0..outs * ins)
            .into_par_iter()
            .map(|pair| {
                let (o, i) = (pair / ins, pair % ins);
                let mut sums = vec![T::zero(); splits * one];
                for clip in 0..self.clips {
                    let d = &tensors.d_output[(clip as usize * outs + o) * plane..][..plane];
                    let x = &input[(clip as usize * ins + i) * plane..][..plane];
                    self.correlate(lines, walk, clip, d, x, &mut sums);
                }
                sums
            })
            .collect();
        for (at, to) in tensors.partial.chunks_mut(one).enumerate() {
            let (split, pair) = (at / (outs * ins), at % (outs * ins));
            to.copy_from_slice(&sums[pair][split * one..][..one]);
        }
        tensors.bias_partial.fill(T::zero());
        for (at, d) in tensors.d_output.chunks(plane).enumerate() {
            let (clip, o) = ((at / outs) as u32, at % outs);
            for line in 0..lines.lines {
                for position in 0..lines.length {
                    let split = walk.split(lines, clip, line, position);
                    let from = 4 * (line * lines.across + position * lines.along) as usize;
                    let to = (split * outs + o) * 4;
                    for c in 0..4 {
                        tensors.bias_partial[to + c] += d[from + c];
                    }
                }
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            d_output: Draw::NORMAL,
            input: Draw::NORMAL,
            affine: Draw::NORMAL,
            partial: Draw::NORMAL,
            bias_partial: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |clips, channels, kernel: [u32; 2], bands, steps| {
            let lines = Lines::new(kernel, bands, steps);
            Self::new(clips, channels, lines, Footprint::new(kernel, lines))
        };
        vec![
            Case::new("minimal", case(1, [1, 1], [1, 1], 1, 1)),
            Case::new("odd, over time", case(3, [5, 7], [1, 5], 3, 37)),
            Case::new("odd, over frequency", case(3, [9, 6], [7, 1], 19, 67)),
            Case::new("typical, over time", case(1, [16, 32], [1, 9], 32, 323)),
            Case::new("typical, over frequency", case(1, [16, 32], [9, 1], 32, 323)),
            Case::new("segments over frequency", case(2, [4, 4], [3, 1], 200, 6)),
            Case::new("odd, over both", case(2, [6, 5], [3, 5], 7, 21)),
            Case::new("odd, in two runs over both", case(2, [6, 5], [13, 3], 17, 9)),
            Case::new("rows that only meet padding", case(1, [4, 4], [9, 9], 2, 21)),
            Case::new("whole tiles", case(1, [4, 4], [1, 3], 16, 64)),
            Case::new("taps that only meet padding", case(2, [64, 64], [9, 1], 2, 20)),
        ]
    }
}

impl Params {
    /// Adds one clip's share for a pair of quads to `sums`, [split, rows, padded, 4, 4].
    fn correlate<T: Real>(
        &self,
        lines: Lines,
        walk: Walk,
        clip: u32,
        d_output: &[T],
        input: &[T],
        sums: &mut [T],
    ) {
        let padded = self.padded();
        let taps = self.rows * padded;
        for tap in 0..taps {
            let offset = i64::from(tap % padded) - i64::from(self.before);
            let lines_off = i64::from(tap / padded) - i64::from(self.above);
            for (to, from, run) in lines.overlaps(offset, lines_off) {
                // Cut the run where the split changes.
                let mut done = 0;
                while done < run {
                    let at = (to + done) as u32;
                    let (line, position, left) = if lines.along == 1 {
                        let position = at % lines.across;
                        (at / lines.across, position, walk.segment - position % walk.segment)
                    } else {
                        // Neighbours in memory lie on different lines, a split every few.
                        (at % lines.along, at / lines.along, 1)
                    };
                    let length = (left as usize).min(run - done);
                    let split = walk.split(lines, clip, line, position);
                    let sum = &mut sums[16 * (split * taps as usize + tap as usize)..][..16];
                    let d = &d_output[4 * (to + done)..][..4 * length];
                    let x = &input[4 * (from + done)..][..4 * length];
                    for (d, x) in d.chunks_exact(4).zip(x.chunks_exact(4)) {
                        for (sum, &x) in sum.chunks_exact_mut(4).zip(x) {
                            for (sum, &d) in sum.iter_mut().zip(d) {
                                *sum += d * x;
                            }
                        }
                    }
                    done += length;
                }
            }
        }
    }
}
