//! Gradient through max pooling, batch norm and ReLU, in place of the activation.

use rayon::prelude::*;

use crate::kernels::layers::pool::Windows;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/batch_norm/backward",
    params {
        /// Clips.
        batch: u32,
        /// Quads of channels.
        quads: u32,
        /// Planes and windows.
        windows: Windows,
    },
    tensors {
        /// [batch, quads, bands / window, steps / window, 4]
        d_output: read f32,
        /// [batch, quads, bands / window, steps / window, 4]
        pooled: read f32,
        /// [3, quads, 4]: mean, 1 / √(variance + ε), scale
        moments: read f32,
        /// [2, quads, 4]: Σ d_output / N, then Σ d_output · x̂ / N
        terms: read f32,
        /// [batch, quads, bands, steps, 4]: in, the ReLU's output; out, the gradient to its input
        activation: update f32,
    },
}

impl Params {
    /// The first position in row-major order of each window that holds the pooled value, by
    /// channel of one quad: [window, 4].
    fn kept<T: Real>(&self, activation: &[T], pooled: &[T]) -> Vec<usize> {
        let position = |(at, &pooled): (usize, &T)| {
            let mut positions = self.windows.positions(at / 4);
            positions.find(|p| activation[4 * p + at % 4] == pooled).unwrap_or(usize::MAX)
        };
        pooled.iter().enumerate().map(position).collect()
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let Windows { bands, steps, window_bands, window_steps } = params.windows;
        // Those that are cut off hold positions too.
        let windows = bands.div_ceil(window_bands) * steps.div_ceil(window_steps);
        Grid::of([cover(windows, 64), params.quads, params.batch])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, quads] = [self.batch, self.quads].map(|n| n as usize);
        Tensors {
            moments: 12 * quads,
            terms: 8 * quads,
            activation: batch * quads * self.windows.plane() * 4,
            ..Tensors::each(batch * quads * self.windows.pooled() * 4)
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let (activation, pooled) = (lengths.activation as f64, lengths.pooled as f64);
        Cost { flops: 6.0 * activation, bytes: 8.0 * (activation + pooled) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let quads = self.quads as usize;
        let plane = 4 * self.windows.plane();
        let pooled = 4 * self.windows.pooled();
        tensors.activation.par_chunks_mut(plane).enumerate().for_each(|(index, activation)| {
            let at = index * pooled;
            let d_output = &tensors.d_output[at..at + pooled];
            let kept = self.kept(activation, &tensors.pooled[at..at + pooled]);
            let mut dy = vec![T::zero(); plane];
            for (at, (&position, &d)) in kept.iter().zip(d_output).enumerate() {
                if position != usize::MAX {
                    dy[4 * position + at % 4] = d;
                }
            }
            let channel = 4 * (index % quads);
            let entry = |values: &[T], row: usize, c: usize| values[4 * quads * row + channel + c];
            for c in 0..4 {
                let [mean, inverse, scale] = [0, 1, 2].map(|row| entry(tensors.moments, row, c));
                let [constant, slope] = [0, 1].map(|row| entry(tensors.terms, row, c));
                for (x, &dy) in activation[c..].iter_mut().step_by(4).zip(dy[c..].iter().step_by(4))
                {
                    let normal = (*x - mean) * inverse;
                    *x = if *x > T::zero() {
                        scale * (dy - constant - normal * slope)
                    } else {
                        T::zero()
                    };
                }
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        // A coarse grid with zeros, so that windows hold ties and dead positions; the pooled
        // values are of the grid too, so that most windows hold theirs.
        let grid =
            || Draw::Among((0..13_u8).map(|i| f32::from(i.saturating_sub(4)) / 4.0).collect());
        Tensors {
            pooled: grid(),
            moments: Draw::Uniform(0.5, 1.5),
            activation: grid(),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        Windows::cases(|batch, channels, windows| Self {
            batch,
            quads: channels.div_ceil(4),
            windows,
        })
    }
}
