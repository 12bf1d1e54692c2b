//! Gradient of a convolution to its scaled input.

use rayon::prelude::*;

use super::{Footprint, Lines, Pass, cases};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/input_gradient",
    pieces ["convolution", "tiles", "lines"],
    params {
        /// Clips.
        clips: u32,
        /// Quads of input channels.
        in_quads: u32,
        /// Quads of output channels.
        out_quads: u32,
        /// What makes the gradient.
        pass: Pass,
    },
    tensors {
        /// [clips, out_quads, bands, steps, 4]
        d_output: read f32,
        /// [in_quads, out_quads, rows, 3 · groups, 4 (out), 4 (in)], each input quad filled up to
        /// [`super::quad_matrices`]; lines and taps are reversed
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
        let [in_quads, out_quads] = channels.map(|n| n.div_ceil(4));
        Pass::launches(in_quads, out_quads, lines, footprint)
            .map(|pass| Self { clips, in_quads, out_quads, pass })
            .collect()
    }

    /// A thread computes 16 positions of a line for `quads` quads of channels.
    fn grid(&self, quads: u32) -> Grid {
        let Pass { lines, count, .. } = self.pass;
        Grid::of([cover(self.clips * lines.tiles(16), 64), cover(count, quads), 1])
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/conv/input_gradient@pairs", "layers/conv/input_gradient",
                pieces [
                    "convolution_of_pairs", "tiles", "four_lanes", "lines"
                ],
                Facts::hands_round, |_| true
            ),
            grid: |params| params.grid(2),
        },
        Schedule::general(|params| params.grid(1)),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let plane = 4 * self.pass.lines.plane();
        let [clips, ins, outs] = [self.clips, self.in_quads, self.out_quads].map(|n| n as usize);
        Tensors {
            d_output: clips * outs * plane,
            weight: ins * self.pass.quad_weights(self.out_quads),
            d_input: clips * ins * plane,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let pairs = 16.0 * f64::from(self.pass.count) * f64::from(self.out_quads);
        let share = lengths.weight + lengths.d_input;
        self.pass.cost(f64::from(self.clips) * pairs, lengths.d_output, self.in_quads, share)
    }

    fn uniform_start(&self) -> usize {
        self.pass.weights_start(self.out_quads)
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (ins, outs) = (self.in_quads as usize, self.out_quads as usize);
        let plane = 4 * self.pass.lines.plane();
        tensors.d_input.par_chunks_mut(plane).enumerate().for_each(|(index, d_input)| {
            let (clip, quad) = (index / ins, index % ins);
            if self.pass.quads().contains(&quad) {
                let d_output = &tensors.d_output[clip * outs * plane..][..outs * plane];
                d_input.fill(T::zero());
                self.pass.convolve(quad, d_output, tensors.weight, d_input);
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { weight: Draw::Normal(0.0, 0.1), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let own = [
            ("odd, over both, higher than long", 2, [6, 5], [11, 3], [17, 10]),
            ("last of three launches", 1, [62, 61], [1, 9], [3, 21]),
        ];
        cases(own, |clips, channels, lines, footprint| {
            Self::launches(clips, channels, lines, footprint).pop().expect("there is a launch")
        })
    }
}
