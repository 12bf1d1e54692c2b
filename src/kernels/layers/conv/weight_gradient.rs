//! Shares of a convolution's weight and bias gradient.

use rayon::prelude::*;

use super::{Footprint, Lines, Reach, Walk, cases, planes, scaled};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

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
        /// The planes.
        lines: Lines,
        /// The kernel's taps.
        reach: Reach,
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
        let [in_quads, out_quads] = channels.map(|n| n.div_ceil(4));
        Self { clips, in_quads, out_quads, lines, reach: footprint.reach() }
    }

    /// A workgroup is for four quads of the input, four of the output, and nine taps; it walks batches of four
    /// runs of 16 positions. As many workgroups as a large GPU has room for, but shares few enough to add.
    fn staged(&self) -> Grid {
        let runs = self.lines.length.div_ceil(16) * self.lines.lines * self.clips;
        let [outs, ins] = [self.out_quads, self.in_quads].map(|quads| cover(quads, 4));
        let tiles = outs * ins * self.reach.rows * self.taps().div_ceil(9);
        let shares = cover(runs, 4 * 4).min((512 / tiles).clamp(16, 64));
        Grid {
            workgroups: [shares, outs, tiles / outs],
            constants: vec![("GROUPS", f64::from(self.taps().min(9).div_ceil(3)))],
            shares,
        }
    }

    fn taps(&self) -> u32 {
        2 * self.reach.before + 1
    }

    /// A workgroup is for `quads` quads of the input, as many of the output, and a run of at most `most`
    /// taps of a line of the kernel: what a thread keeps in registers. A thread walks no fewer positions than a segment may have,
    /// in several segments of short lines: adding up a workgroup's sums costs as much as walking
    /// some dozens of positions.
    fn grid(&self, walk: Walk, most: u32, quads: u32) -> Grid {
        let segments = self.lines.length.div_ceil(walk.segment);
        let walked = walk.segment / self.lines.length.div_ceil(segments);
        let items = self.clips * segments * self.lines.lines;
        let shares = cover(items, walk.lanes * walked).min(walk.shares);
        let runs = self.taps().div_ceil(most);
        Grid {
            workgroups: [
                shares,
                cover(self.out_quads, quads),
                cover(self.in_quads, quads) * self.reach.rows * runs,
            ],
            constants: vec![("GROUPS", f64::from(self.taps().min(most).div_ceil(3)))],
            shares,
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/conv/weight_gradient@eights", "layers/conv/weight_gradient@eights",
                pieces ["four_lanes"],
                Facts::hands_round_eights, |_| true
            ),
            // A subgroup walks a segment.
            grid: |params| params.grid(Walk { lanes: 8, segment: 64, shares: 16 }, 9, 2),
        },
        Schedule {
            shader: kernel!(
                @shader "layers/conv/weight_gradient@staged", "layers/conv/weight_gradient@staged",
                pieces [],
                |_| true, |facts| !facts.software
            ),
            grid: Params::staged,
        },
        Schedule::general(|params| params.grid(Walk { lanes: 64, segment: 64, shares: 16 }, 9, 1)),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.lines.plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads].map(|n| n as usize);
        Tensors {
            d_output: clips * outs * plane,
            input: clips * ins * plane,
            affine: 8 * ins,
            partial: outs * ins * 16 * (self.reach.rows * self.taps()) as usize,
            bias_partial: outs * 4,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let pairs = 16.0 * f64::from(self.in_quads) * f64::from(self.out_quads);
        Cost {
            flops: 2.0 * f64::from(self.clips) * pairs * self.reach.meetings(self.lines),
            bytes: 4.0 * (lengths.d_output + lengths.input + lengths.partial) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.lines;
        let (ins, outs) = (self.in_quads as usize, self.out_quads as usize);
        let plane = 4 * lines.plane();
        let input = scaled(tensors.input, tensors.affine, ins, lines.plane());
        let partial = tensors.partial.par_chunks_mut(16 * (self.reach.rows * self.taps()) as usize);
        partial.enumerate().for_each(|(pair, partial)| {
            let (o, i) = (pair / ins, pair % ins);
            for (tap, to) in (0..).zip(partial.chunks_exact_mut(16)) {
                let offset = i64::from(tap % self.taps()) - i64::from(self.reach.before);
                let lines_off = i64::from(tap / self.taps()) - i64::from(self.reach.above);
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
        let own = [
            ("segments over frequency", 2, [4, 4], [3, 1], [200, 6]),
            ("odd, in two runs over both", 2, [6, 5], [13, 3], [17, 9]),
            ("more quads than a workgroup has", 3, [21, 18], [1, 5], [7, 35]),
        ];
        cases(own, Self::new)
    }
}
