//! Gradient of a convolution to its scaled input.

use rayon::prelude::*;

use super::{Footprint, Lines, convolve, launches, meetings, quad_matrices};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/input_gradient",
    pieces ["convolution", "lines"],
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
        /// Groups of three taps along a line.
        groups: u32,
        /// Taps before the centre.
        before: u32,
        /// Lines that the kernel spans.
        rows: u32,
        /// Lines before the centre.
        above: u32,
        /// The first input quad of this launch.
        first: u32,
        /// Input quads of this launch.
        count: u32,
    },
    tensors {
        /// [clips, out_quads, bands, steps, 4]
        d_output: read f32,
        /// [in_quads, out_quads, rows, 3 · groups, 4 (out), 4 (in)], each input quad filled up to
        /// [`quad_matrices`]; lines and taps are reversed
        weight: uniform f32,
        /// [clips, in_quads, bands, steps, 4]
        d_input: update f32,
    },
}

impl Params {
    /// The launches that together make all input channels.
    pub fn launches(
        clips: u32,
        channels: [u32; 2],
        lines: Lines,
        footprint: Footprint,
    ) -> Vec<Self> {
        let Lines { length, lines, along, across } = lines;
        let [in_quads, out_quads] = channels.map(|n| n.div_ceil(4));
        // The reversed kernel has as many taps before its centre, since there are as many after.
        let (groups, before) = (footprint.along.groups(), footprint.along.before);
        let (rows, above) = (footprint.across.used, footprint.across.before);
        launches(in_quads, out_quads, footprint)
            .into_iter()
            .map(|(first, count)| Self {
                clips,
                in_quads,
                out_quads,
                length,
                lines,
                along,
                across,
                groups,
                before,
                rows,
                above,
                first,
                count,
            })
            .collect()
    }

    /// Elements of an input quad's packed weights.
    fn quad_weights(&self) -> usize {
        16 * quad_matrices(self.out_quads, self.rows, self.groups) as usize
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        // A thread computes 16 positions of a line.
        Grid::of([cover(params.clips * params.geometry().tiles(16), 64), params.count, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.geometry().plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads].map(|n| n as usize);
        Tensors {
            d_output: clips * outs * plane,
            weight: ins * self.quad_weights(),
            d_input: clips * ins * plane,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let pairs = 16.0 * f64::from(self.count) * f64::from(self.out_quads);
        let share = f64::from(self.count) / f64::from(self.in_quads);
        Cost {
            flops: 2.0
                * f64::from(self.clips)
                * pairs
                * meetings(self.geometry(), self.before, self.above),
            bytes: 4.0
                * (lengths.d_output as f64 + share * (lengths.weight + lengths.d_input) as f64),
        }
    }

    fn uniform_start(&self) -> usize {
        self.first as usize * self.quad_weights()
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.geometry();
        let (ins, outs) = (self.in_quads as usize, self.out_quads as usize);
        let (plane, padded) = (4 * lines.plane(), 3 * self.groups as usize);
        let rows = self.rows as usize;
        tensors.d_input.par_chunks_mut(plane).enumerate().for_each(|(index, d_input)| {
            let (clip, quad) = (index / ins, index % ins);
            let launched = self.first..self.first + self.count;
            if !launched.contains(&(quad as u32)) {
                return;
            }
            let d_output = &tensors.d_output[clip * outs * plane..][..outs * plane];
            let weight = &tensors.weight[quad * self.quad_weights()..][..outs * rows * padded * 16];
            d_input.fill(T::zero());
            convolve(lines, [self.before, self.above], [rows, padded], d_output, weight, d_input);
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { weight: Draw::Normal(0.0, 0.1), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |clips, channels, kernel: [u32; 2], bands, steps| {
            let lines = Lines::new(kernel, bands, steps);
            let footprint = Footprint::new(kernel, lines);
            Self::launches(clips, channels, lines, footprint).pop().expect("there is a launch")
        };
        vec![
            Case::new("minimal", case(1, [1, 1], [1, 1], 1, 1)),
            Case::new("odd, over time", case(3, [5, 7], [1, 5], 3, 37)),
            Case::new("odd, over frequency", case(3, [9, 6], [7, 1], 19, 67)),
            Case::new("typical, over time", case(1, [16, 32], [1, 9], 32, 323)),
            Case::new("typical, over frequency", case(1, [16, 32], [9, 1], 32, 323)),
            Case::new("whole tiles", case(1, [4, 4], [1, 3], 16, 64)),
            Case::new("taps that only meet padding", case(2, [64, 64], [9, 1], 2, 20)),
            Case::new("odd, over both", case(2, [6, 5], [3, 5], 7, 21)),
            Case::new("odd, over both, higher than long", case(2, [6, 5], [11, 3], 17, 10)),
            Case::new("rows that only meet padding", case(1, [4, 4], [9, 9], 2, 21)),
            Case::new("last of three launches", case(1, [62, 61], [1, 9], 3, 21)),
        ]
    }
}
