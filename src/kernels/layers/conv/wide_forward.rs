//! [`forward`] for more input channels than a uniform binding has weights for.

use super::{Footprint, Lines, Pass, forward};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/conv/wide_forward",
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
        /// What makes all of the output.
        pass: Pass,
    },
    tensors {
        /// [clips, in_quads, bands, steps, 4]
        input: read f32,
        /// [2, in_quads, 4]: scale, then shift
        affine: read f32,
        /// [out_quads, in_quads, rows, 3 · groups, 4 (in), 4 (out)], each output quad filled up to
        /// [`super::quad_matrices`]
        weight: read f32,
        /// \[out_channels\]
        bias: read f32,
        /// \[out_channels\], near the mean of the output: the running mean
        pivot: read f32,
        /// [clips, out_quads, bands, steps, 4]
        output: write f32,
        /// [out_quads, 2, 4]: Σ (output − pivot), Σ (output − pivot)²
        partial: shares f32,
    },
}

impl Params {
    /// `channels` are those that the convolution reads and writes.
    pub fn new(clips: u32, channels: [u32; 2], lines: Lines, footprint: Footprint) -> Self {
        let [in_quads, count] = channels.map(|n| n.div_ceil(4));
        let (groups, reach) = (footprint.along.groups(), footprint.reach());
        let pass = Pass { lines, groups, reach, first: 0, count };
        Self { clips, in_quads, out_channels: channels[1], pass }
    }

    fn narrow(&self) -> forward::Params {
        let Self { clips, in_quads, out_channels, pass } = *self;
        forward::Params { clips, in_quads, out_channels, pass }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/conv/wide_forward@pairs", "layers/conv/wide_forward",
                pieces [
                    "convolution_of_pairs", "tiles", "four_lanes",
                    "convolution_output", "lines", "scaled_input", "quads", "activation_sums"
                ],
                Facts::hands_round, |_| true
            ),
            grid: |params| params.narrow().grid(16, 2, 64),
        },
        Schedule::general(|params| params.narrow().grid(16, 1, 64)),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let forward::Tensors { input, affine, weight, bias, pivot, output, partial } =
            self.narrow().lengths();
        Tensors { input, affine, weight, bias, pivot, output, partial }
    }

    fn cost(&self) -> Cost {
        self.narrow().cost()
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { input, affine, weight, bias, pivot, output, partial } = tensors;
        let tensors = forward::Slices { input, affine, weight, bias, pivot, output, partial };
        self.narrow().reference(tensors);
    }

    fn draw(&self) -> Tensors<Draw> {
        let forward::Tensors { input, affine, weight, bias, pivot, output, .. } =
            self.narrow().draw();
        Tensors { input, affine, weight, bias, pivot, output, partial: Draw::Poison }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |name, clips, channels, kernel, [bands, steps]: [u32; 2]| {
            let lines = Lines::new(kernel, bands, steps);
            Case::new(name, Self::new(clips, channels, lines, Footprint::new(kernel, lines)))
        };
        vec![
            case("minimal", 1, [1, 1], [1, 1], [1, 1]),
            case("odd", 3, [41, 6], [1, 5], [3, 37]),
            case("typical", 1, [561, 64], [1, 7], [1, 187]),
        ]
    }
}
