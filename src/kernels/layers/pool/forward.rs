//! The input of each window that batch norm would make the largest.

use rayon::prelude::*;

use super::Windows;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/pool/forward",
    params {
        /// Clips.
        batch: u32,
        /// Channels.
        channels: u32,
        /// Planes and windows.
        windows: Windows,
    },
    tensors {
        /// [batch, quads, bands, steps, 4]
        input: read f32,
        /// \[channels\], of the batch norm between
        gamma: read f32,
        /// [batch, quads, bands / window, steps / window, 4]
        output: write f32,
    },
}

impl Params {
    fn quads(&self) -> u32 {
        self.channels.div_ceil(4)
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.windows.pooled() as u32, 64), params.quads(), params.batch])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let quads = self.batch as usize * self.quads() as usize;
        Tensors {
            input: quads * self.windows.plane() * 4,
            gamma: self.channels as usize,
            output: quads * self.windows.pooled() * 4,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let (input, output) = (lengths.input as f64, lengths.output as f64);
        Cost { flops: input, bytes: 4.0 * (input + output) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (windows, quads) = (self.windows, self.quads() as usize);
        let outputs = tensors.output.par_chunks_mut(4 * windows.pooled());
        let planes = outputs.zip(tensors.input.par_chunks(4 * windows.plane()));
        planes.enumerate().for_each(|(index, (output, input))| {
            for (at, kept) in output.iter_mut().enumerate() {
                let (window, c) = (at / 4, at % 4);
                let channel = (4 * (index % quads) + c).min(self.channels as usize - 1);
                let gamma = tensors.gamma[channel];
                let direction = if gamma == T::zero() { T::zero() } else { gamma.signum() };
                let values = windows.positions(window).map(|position| input[4 * position + c]);
                let first_largest =
                    |best, value| if value * direction > best * direction { value } else { best };
                *kept = values.reduce(first_largest).unwrap_or_else(T::zero);
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        // A coarse grid, so that windows hold ties; gammas of both signs and zero, next to others.
        let gamma = [(0.5, 1.5), (-1.5, -0.5), (0.0, 0.0)];
        let gamma = gamma.into_iter().cycle().take(self.channels as usize);
        Tensors {
            input: Draw::Among((0..13).map(|i| i as f32 / 4.0).collect()),
            gamma: Draw::Ranges(gamma.collect()),
            output: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        Windows::cases(|batch, channels, windows| Self { batch, channels, windows })
    }
}
