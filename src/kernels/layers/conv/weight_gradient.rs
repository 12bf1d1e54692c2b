//! Shares of a convolution's weight and bias gradient.

use rayon::prelude::*;

use super::{Footprint, Lines, Walk, meetings, planes, scaled};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/weight_gradient",
    pieces ["lines", "scaled_input"],
    params {
        /// Clips.
        clips: u32,
        /// Quads of input channels.
        in_quads: u32,
        /// Quads of output channels.
        out_quads: u32,
        /// Positions of a line.
        length: u32,
        /// Lines of a plane.
        lines: u32,
        /// Positions in memory from one on a line to the next.
        along: u32,
        /// Positions in memory from a line to the next.
        across: u32,
        /// Taps before the centre.
        before: u32,
        /// Lines that the kernel spans.
        rows: u32,
        /// Lines before the centre.
        above: u32,
    },
    tensors {
        /// [clips, out_quads, bands, steps, 4]
        d_output: read f32,
        /// [clips, in_quads, bands, steps, 4]
        input: read f32,
        /// [2, in_quads, 4]: scale, then shift
        affine: read f32,
        /// [out_quads, in_quads, rows, taps, 4 (in), 4 (out)]
        partial: shares f32,
        /// [out_quads, 4]
        bias_partial: shares f32,
    },
}

impl Params {
    /// `channels` are those that the convolution reads and writes.
    pub fn new(clips: u32, channels: [u32; 2], lines: Lines, footprint: Footprint) -> Self {
        let Lines { length, lines, along, across } = lines;
        let [in_quads, out_quads] = channels.map(|n| n.div_ceil(4));
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
        }
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }

    fn taps(&self) -> u32 {
        2 * self.before + 1
    }

    /// A workgroup is for a pair of quads and a run of at most `most` taps of a line of the kernel:
    /// what a thread keeps in registers. A thread walks no fewer positions than a segment may have,
    /// in several segments of short lines: adding up a workgroup's sums costs as much as walking
    /// some dozens of positions.
    fn grid(&self, walk: Walk, most: u32) -> Grid {
        let segments = self.length.div_ceil(walk.segment);
        let walked = walk.segment / self.length.div_ceil(segments);
        let items = self.clips * segments * self.lines;
        let shares = cover(items, walk.lanes * walked).min(walk.shares);
        let runs = self.taps().div_ceil(most);
        Grid {
            workgroups: [shares, self.out_quads, self.in_quads * self.rows * runs],
            constants: vec![("GROUPS", f64::from(self.taps().min(most).div_ceil(3)))],
            shares,
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| params.grid(Walk { lanes: 64, segment: 64, shares: 16 }, 9))];

    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.geometry().plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads].map(|n| n as usize);
        Tensors {
            d_output: clips * outs * plane,
            input: clips * ins * plane,
            affine: 8 * ins,
            partial: outs * ins * 16 * (self.rows * self.taps()) as usize,
            bias_partial: outs * 4,
        }
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
        let (ins, outs) = (self.in_quads as usize, self.out_quads as usize);
        let plane = 4 * lines.plane();
        let input = scaled(tensors.input, tensors.affine, ins, lines.plane());
        let partial = tensors.partial.par_chunks_mut(16 * (self.rows * self.taps()) as usize);
        partial.enumerate().for_each(|(pair, partial)| {
            let (o, i) = (pair / ins, pair % ins);
            for (tap, to) in (0..).zip(partial.chunks_exact_mut(16)) {
                let offset = i64::from(tap % self.taps()) - i64::from(self.before);
                let lines_off = i64::from(tap / self.taps()) - i64::from(self.above);
                let mut sums = [0.0; 16];
                for (d, x) in
                    planes(tensors.d_output, plane, [o, outs]).zip(planes(&input, plane, [i, ins]))
                {
                    for (at, from, run) in lines.overlaps(offset, lines_off) {
                        let d = d[4 * at..4 * (at + run)].chunks_exact(4);
                        for (d, x) in d.zip(x[4 * from..].chunks_exact(4)) {
                            for (sums, &x) in sums.chunks_exact_mut(4).zip(x) {
                                for (sum, &d) in sums.iter_mut().zip(d) {
                                    *sum += d.double() * x.double();
                                }
                            }
                        }
                    }
                }
                to.copy_from_slice(&sums.map(T::of));
            }
        });
        for (o, to) in tensors.bias_partial.chunks_exact_mut(4).enumerate() {
            let mut sums = [0.0; 4];
            for d in
                planes(tensors.d_output, plane, [o, outs]).flat_map(|plane| plane.chunks_exact(4))
            {
                for (sum, &d) in sums.iter_mut().zip(d) {
                    *sum += d.double();
                }
            }
            to.copy_from_slice(&sums.map(T::of));
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { partial: Draw::Poison, bias_partial: Draw::Poison, ..Tensors::each(Draw::NORMAL) }
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
