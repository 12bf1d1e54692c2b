//! Gradient through max pooling, batch norm and ReLU, in place of the activation.

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/batch_norm/backward",
    params {
        /// Clips.
        batch: u32,
        /// Quads of channels.
        quads: u32,
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
    fn pooled_steps(&self) -> usize {
        (self.steps / self.window_steps) as usize
    }

    fn pooled(&self) -> usize {
        (self.bands / self.window_bands) as usize * self.pooled_steps()
    }

    /// The first position in row-major order of each window that holds the pooled value, by
    /// channel of one quad: [window, 4].
    fn kept<T: Real>(&self, activation: &[T], pooled: &[T]) -> Vec<usize> {
        let [steps, window_bands, window_steps] =
            [self.steps, self.window_bands, self.window_steps].map(|n| n as usize);
        let mut kept = vec![usize::MAX; pooled.len()];
        for (at, (kept, &pooled)) in kept.iter_mut().zip(pooled).enumerate() {
            let (window, c) = (at / 4, at % 4);
            let band = window / self.pooled_steps() * window_bands;
            let step = window % self.pooled_steps() * window_steps;
            let mut positions = (band..band + window_bands)
                .flat_map(|band| (step..step + window_steps).map(move |step| band * steps + step));
            if let Some(position) = positions.find(|p| activation[4 * p + c] == pooled) {
                *kept = position;
            }
        }
        kept
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let windows =
            params.bands.div_ceil(params.window_bands) * params.steps.div_ceil(params.window_steps);
        Grid::of([cover(windows, 64), params.quads, params.batch])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, quads] = [self.batch, self.quads].map(|n| n as usize);
        Tensors {
            moments: 12 * quads,
            terms: 8 * quads,
            activation: batch * quads * (self.bands * self.steps) as usize * 4,
            ..Tensors::each(batch * quads * self.pooled() * 4)
        }
    }

    fn cost(&self) -> Cost {
        let activation = self.lengths().activation as f64;
        let pooled = 4.0 * f64::from(self.batch * self.quads) * self.pooled() as f64;
        Cost { flops: 6.0 * activation, bytes: 8.0 * (activation + pooled) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let quads = self.quads as usize;
        let plane = 4 * (self.bands * self.steps) as usize;
        let pooled = 4 * self.pooled();
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
        let case = |batch, quads, plane: [u32; 2], window: [u32; 2]| Self {
            batch,
            quads,
            bands: plane[0],
            steps: plane[1],
            window_bands: window[0],
            window_steps: window[1],
        };
        vec![
            Case::new("minimal", case(1, 1, [1, 1], [1, 1])),
            Case::new("odd", case(3, 2, [7, 41], [3, 2])),
            Case::new("no window", case(2, 16, [2, 20], [1, 1])),
            Case::new("typical", case(1, 4, [64, 646], [2, 2])),
        ]
    }
}
