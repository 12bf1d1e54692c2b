//! rates[clip, frame] = the share of samples of the frame at which the sign changes
//!
//! `librosa.feature.zero_crossing_rate` with `center=True`: frames are centred, the clip's first and
//! last sample repeat beyond it, 0 and what is within ±1e−10 count as positive, and the first sample
//! of a frame never counts as a crossing.

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "features/zero_crossings",
    params {
        /// Clips.
        clips: u32,
        /// Samples of a clip.
        samples: u32,
        /// Samples of a frame, even.
        n_fft: u32,
        /// Samples from a frame to the next.
        hop: u32,
    },
    tensors {
        /// [clips, samples]
        samples: read f32,
        /// [clips, frames]
        rates: write f32,
    },
}

/// What is nearer to zero counts as zero, as in librosa.
const THRESHOLD: f64 = 1e-10;

impl Params {
    fn frames(&self) -> usize {
        1 + (self.samples / self.hop) as usize
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([params.frames() as u32, params.clips, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let (clips, samples) = (self.clips as usize, self.samples as usize);
        Tensors { samples: clips * samples, rates: clips * self.frames() }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 3.0 * f64::from(self.n_fft) * lengths.rates as f64,
            bytes: 4.0 * (lengths.samples + lengths.rates) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [samples, n_fft, hop] = [self.samples, self.n_fft, self.hop].map(|n| n as usize);
        let frames = self.frames();
        tensors.rates.par_iter_mut().enumerate().for_each(|(row, rate)| {
            let clip = &tensors.samples[row / frames * samples..][..samples];
            let negative = |i: usize| {
                let at = (row % frames * hop + i).saturating_sub(n_fft / 2).min(samples - 1);
                clip[at] < T::of(-THRESHOLD)
            };
            let crossings = (1..n_fft).filter(|&i| negative(i) != negative(i - 1)).count();
            *rate = T::of(crossings as f64 / n_fft as f64);
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        // Zeros of either sign and what is too near to zero.
        let samples = vec![-0.5, -0.01, -2e-10, -5e-11, -0.0, 0.0, 5e-11, 0.25, 0.5];
        Tensors { samples: Draw::Among(samples), rates: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { clips: 1, samples: 1, n_fft: 64, hop: 1 }),
            Case::new("odd", Self { clips: 3, samples: 1001, n_fft: 256, hop: 77 }),
            Case::new("typical", Self { clips: 2, samples: 8191, n_fft: 2048, hop: 512 }),
        ]
    }
}
