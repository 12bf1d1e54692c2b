//! Convolution, bias and ReLU over a scaled input, with the sums for batch norm.

use rayon::prelude::*;

use super::{Footprint, Lines, Pass, cases, of_quad, planes, scaled, sums_around};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{ALIGNMENT, Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/forward",
    pieces [
        "convolution", "tiles", "convolution_output", "lines", "scaled_input", "quads",
        "activation_sums"
    ],
    params {
        /// Clips.
        clips: u32,
        /// Quads of input channels.
        in_quads: u32,
        /// Channels of the output.
        out_channels: u32,
        /// What makes the output.
        pass: Pass,
    },
    tensors {
        /// [clips, in_quads, bands, steps, 4]
        input: read f32,
        /// [2, in_quads, 4]: scale, then shift
        affine: read f32,
        /// [out_quads, in_quads, rows, 3 · groups, 4 (in), 4 (out)], each output quad filled up to
        /// [`super::quad_matrices`]
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
        let [in_quads, out_quads] = channels.map(|n| n.div_ceil(4));
        Pass::launches(out_quads, in_quads, lines, footprint)
            .map(|pass| Self { clips, in_quads, out_channels: channels[1], pass })
            .collect()
    }

    fn out_quads(&self) -> u32 {
        self.out_channels.div_ceil(4)
    }

    /// Workgroups of `lanes` threads, each of which computes `tile` positions of a line for `quads` quads
    /// of channels. Every workgroup leaves a share, and there are so many that those of another part of
    /// the batch may follow in the same tensor.
    pub(super) fn grid(&self, tile: u32, quads: u32, lanes: u32) -> Grid {
        let share = 8 * self.out_quads() as usize;
        let aligned =
            (1..=ALIGNMENT as u32).find(|&n| (n as usize * share).is_multiple_of(ALIGNMENT));
        let groups = cover(self.clips * self.pass.lines.tiles(tile), lanes);
        let shares = groups.next_multiple_of(aligned.unwrap_or(1));
        Grid { shares, ..Grid::of([shares, cover(self.pass.count, quads), 1]) }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/conv/forward@pairs", "layers/conv/forward",
                pieces [
                    "convolution_of_pairs", "tiles", "four_lanes",
                    "convolution_output", "lines", "scaled_input", "quads", "activation_sums"
                ],
                Facts::hands_round, |_| true
            ),
            grid: |params| params.grid(16, 2, 64),
        },
        Schedule::general(|params| params.grid(16, 1, 64)),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.pass.lines.plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads()].map(|n| n as usize);
        Tensors {
            input: clips * ins * plane,
            affine: 8 * ins,
            weight: outs * self.pass.quad_weights(self.in_quads),
            bias: self.out_channels as usize,
            pivot: self.out_channels as usize,
            output: clips * outs * plane,
            partial: 8 * outs,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let outs = (self.out_channels - 4 * self.pass.first).min(4 * self.pass.count);
        let products = f64::from(self.clips) * 4.0 * f64::from(self.in_quads) * f64::from(outs);
        let share = lengths.weight + lengths.output;
        self.pass.cost(products, lengths.input, self.out_quads(), share)
    }

    fn uniform_start(&self) -> usize {
        self.pass.weights_start(self.in_quads)
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (ins, outs) = (self.in_quads as usize, self.out_quads() as usize);
        let positions = self.pass.lines.plane();
        let plane = 4 * positions;
        let input = scaled(tensors.input, tensors.affine, ins, positions);
        let clips = tensors.output.par_chunks_mut(outs * plane).zip(input.par_chunks(ins * plane));
        clips.for_each(|(output, input)| {
            for quad in self.pass.quads() {
                let output = &mut output[quad * plane..][..plane];
                let bias = of_quad(tensors.bias, quad);
                for position in output.chunks_exact_mut(4) {
                    position.copy_from_slice(&bias);
                }
                self.pass.convolve(quad, input, tensors.weight, output);
                for y in output {
                    *y = y.max(T::zero());
                }
            }
        });
        let output = &*tensors.output;
        tensors.partial.par_chunks_mut(8).enumerate().for_each(|(quad, sums)| {
            if self.pass.quads().contains(&quad) {
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
        let own = [
            ("odd, over both, higher than long", 2, [6, 5], [11, 3], [17, 10]),
            ("last of three launches", 1, [61, 62], [1, 9], [3, 21]),
        ];
        cases(own, |clips, channels, lines, footprint| {
            Self::launches(clips, channels, lines, footprint).pop().expect("there is a launch")
        })
    }
}
