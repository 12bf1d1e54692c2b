//! The input of each window that batch norm would make the largest.

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/pool/forward",
    params {
        /// Clips.
        batch: u32,
        /// Channels.
        channels: u32,
        /// Bands of a plane.
        bands: u32,
        /// Steps of a plane.
        steps: u32,
        /// Bands of a pooling window.
        window_bands: u32,
        /// Steps of a pooling window.
        window_steps: u32,
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

    fn pooled(&self) -> u32 {
        (self.bands / self.window_bands) * (self.steps / self.window_steps)
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.pooled(), 64), params.quads(), params.batch])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let quads = self.quads() as usize;
        Tensors {
            input: self.batch as usize * quads * (self.bands * self.steps) as usize * 4,
            gamma: self.channels as usize,
            output: self.batch as usize * quads * self.pooled() as usize * 4,
        }
    }

    fn cost(&self) -> Cost {
        let input = self.lengths().input as f64;
        let output = 4.0 * f64::from(self.batch * self.quads()) * f64::from(self.pooled());
        Cost { flops: input, bytes: 4.0 * (input + output) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [quads, bands, steps, window_bands, window_steps] =
            [self.quads(), self.bands, self.steps, self.window_bands, self.window_steps]
                .map(|n| n as usize);
        let pooled_steps = steps / window_steps;
        let pooled = 4 * self.pooled() as usize;
        tensors
            .output
            .par_chunks_mut(pooled)
            .zip(tensors.input.par_chunks(4 * bands * steps))
            .enumerate()
            .for_each(|(index, (output, input))| {
                for (at, kept) in output.chunks_exact_mut(4).enumerate() {
                    let band = at / pooled_steps * window_bands;
                    let step = at % pooled_steps * window_steps;
                    for (c, kept) in kept.iter_mut().enumerate() {
                        let channel = (4 * (index % quads) + c).min(self.channels as usize - 1);
                        let gamma = tensors.gamma[channel];
                        let direction = if gamma == T::zero() { T::zero() } else { gamma.signum() };
                        let window = (band..band + window_bands).flat_map(|band| {
                            (step..step + window_steps)
                                .map(move |step| input[4 * (band * steps + step) + c])
                        });
                        *kept =
                            window
                                .reduce(|best, value| {
                                    if value * direction > best * direction { value } else { best }
                                })
                                .unwrap_or_else(T::zero);
                    }
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
        let case = |batch, channels, plane: [u32; 2], window: [u32; 2]| Self {
            batch,
            channels,
            bands: plane[0],
            steps: plane[1],
            window_bands: window[0],
            window_steps: window[1],
        };
        vec![
            Case::new("minimal", case(1, 1, [1, 1], [1, 1])),
            Case::new("odd", case(3, 7, [7, 41], [3, 2])),
            Case::new("no window", case(2, 64, [2, 20], [1, 1])),
            Case::new("typical", case(1, 16, [64, 646], [2, 2])),
        ]
    }
}
