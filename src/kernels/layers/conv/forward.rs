//! Convolution, bias and ReLU over a scaled input, with the sums for batch norm.

use rayon::prelude::*;

use super::{
    Footprint, Lines, convolve, launches, meetings, of_quad, planes, quad_matrices, scaled,
    sums_around,
};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{ALIGNMENT, Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/forward",
    pieces ["convolution", "lines", "scaled_input", "quads", "activation_sums"],
    params {
        /// Clips.
        clips: u32,
        /// Quads of input channels.
        in_quads: u32,
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
        /// Groups of three taps along a line.
        groups: u32,
        /// Taps before the centre.
        before: u32,
        /// Lines that the kernel spans.
        rows: u32,
        /// Lines before the centre.
        above: u32,
        /// The first output quad of this launch.
        first: u32,
        /// Output quads of this launch.
        count: u32,
    },
    tensors {
        /// [clips, in_quads, bands, steps, 4]
        input: read f32,
        /// [2, in_quads, 4]: scale, then shift
        affine: read f32,
        /// [out_quads, in_quads, rows, 3 · groups, 4 (in), 4 (out)], each output quad filled up to
        /// [`quad_matrices`]
        weight: uniform f32,
        /// \[out_channels\]
        bias: read f32,
        /// \[out_channels\], near the mean of the output: the running mean
        pivot: read f32,
        /// [clips, out_quads, bands, steps, 4]
        output: update f32,
        /// [out_quads, 2, 4]: Σ (output − pivot), Σ (output − pivot)²
        partial: shares f32,
    },
}

impl Params {
    /// The launches that together make all output channels.
    pub fn launches(
        clips: u32,
        channels: [u32; 2],
        lines: Lines,
        footprint: Footprint,
    ) -> Vec<Self> {
        let [ins, outs] = channels.map(|n| n.div_ceil(4));
        launches(outs, ins, footprint)
            .into_iter()
            .map(|part| Self::new(clips, channels, lines, footprint, part))
            .collect()
    }

    fn new(
        clips: u32,
        channels: [u32; 2],
        lines: Lines,
        footprint: Footprint,
        (first, count): (u32, u32),
    ) -> Self {
        let Lines { length, lines, along, across } = lines;
        Self {
            clips,
            in_quads: channels[0].div_ceil(4),
            out_channels: channels[1],
            length,
            lines,
            along,
            across,
            groups: footprint.along.groups(),
            before: footprint.along.before,
            rows: footprint.across.used,
            above: footprint.across.before,
            first,
            count,
        }
    }

    fn geometry(&self) -> Lines {
        let Self { length, lines, along, across, .. } = *self;
        Lines { length, lines, along, across }
    }

    fn out_quads(&self) -> u32 {
        self.out_channels.div_ceil(4)
    }

    /// Elements of an output quad's packed weights.
    fn quad_weights(&self) -> usize {
        16 * quad_matrices(self.in_quads, self.rows, self.groups) as usize
    }

    /// Workgroups of `lanes` threads, each of which computes `tile` positions of a line. Every
    /// workgroup leaves a share, and there are so many that those of another part of the batch may
    /// follow in the same tensor.
    fn grid(&self, tile: u32, lanes: u32) -> Grid {
        let share = 8 * self.out_quads() as usize;
        let aligned =
            (1..=ALIGNMENT as u32).find(|&n| (n as usize * share).is_multiple_of(ALIGNMENT));
        let groups = cover(self.clips * self.geometry().tiles(tile), lanes);
        let shares = groups.next_multiple_of(aligned.unwrap_or(1));
        Grid { shares, ..Grid::of([shares, self.count, 1]) }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| params.grid(16, 64))];

    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.geometry().plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads()].map(|n| n as usize);
        Tensors {
            input: clips * ins * plane,
            affine: 8 * ins,
            weight: outs * self.quad_weights(),
            bias: self.out_channels as usize,
            pivot: self.out_channels as usize,
            output: clips * outs * plane,
            partial: 8 * outs,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let outs = (self.out_channels - 4 * self.first).min(4 * self.count);
        let pairs = 4.0 * f64::from(self.in_quads) * f64::from(outs);
        let share = f64::from(self.count) / f64::from(self.out_quads());
        Cost {
            flops: 2.0
                * f64::from(self.clips)
                * pairs
                * meetings(self.geometry(), self.before, self.above),
            bytes: 4.0 * (lengths.input as f64 + share * (lengths.weight + lengths.output) as f64),
        }
    }

    fn uniform_start(&self) -> usize {
        self.first as usize * self.quad_weights()
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let lines = self.geometry();
        let (ins, outs) = (self.in_quads as usize, self.out_quads() as usize);
        let (plane, padded) = (4 * lines.plane(), 3 * self.groups as usize);
        let rows = self.rows as usize;
        let launched = || self.first as usize..(self.first + self.count) as usize;
        let input = scaled(tensors.input, tensors.affine, ins, lines.plane());
        let clips = tensors.output.par_chunks_mut(outs * plane).zip(input.par_chunks(ins * plane));
        clips.for_each(|(output, input)| {
            for quad in launched() {
                let output = &mut output[quad * plane..][..plane];
                let weight =
                    &tensors.weight[quad * self.quad_weights()..][..16 * ins * rows * padded];
                let bias = of_quad(tensors.bias, quad);
                for position in output.chunks_exact_mut(4) {
                    position.copy_from_slice(&bias);
                }
                let kernel = [rows, padded];
                convolve(lines, [self.before, self.above], kernel, input, weight, output);
                for y in output {
                    *y = y.max(T::zero());
                }
            }
        });
        let output = &*tensors.output;
        tensors.partial.par_chunks_mut(8).enumerate().for_each(|(quad, sums)| {
            if launched().contains(&quad) {
                let (pivot, planes) =
                    (of_quad(tensors.pivot, quad), planes(output, plane, [quad, outs]));
                sums.copy_from_slice(&sums_around(pivot, planes).map(T::of));
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            weight: Draw::Normal(0.0, 0.1),
            pivot: Draw::Uniform(0.0, 1.0),
            ..Tensors::each(Draw::NORMAL)
        }
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
            Case::new("last of three launches", case(1, [61, 62], [1, 9], 3, 21)),
        ]
    }
}
