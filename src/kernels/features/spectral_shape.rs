//! centroids[clip, frame] = bin_hz · Σ_k k·m\[k\] / Σ_k m\[k\], the magnitudes m = √power,
//! rolloffs[clip, frame] = bin_hz · the first k at which m\[0\] + … + m\[k\] reaches `share` of the sum
//!
//! `librosa.feature.spectral_centroid` and `spectral_rolloff`. A frame in which every bin is 0 has
//! both at 0 Hz, as there; a power below f32's smallest normal number, 1.2e−38, counts as 0.

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "features/spectral_shape",
    params {
        /// Clips.
        clips: u32,
        /// Frames of a clip.
        frames: u32,
        /// Bins of a frame, n_fft / 2 + 1.
        bins: u32,
        /// Hz from a bin to the next.
        bin_hz: f32,
        /// Of the sum of magnitudes that lies at or below the rolloff, in (0, 1).
        share: f32,
    },
    tensors {
        /// [clips, frames, bins]
        power: read f32,
        /// [clips, frames], Hz
        centroids: write f32,
        /// [clips, frames], Hz
        rolloffs: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([params.frames, params.clips, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let rows = self.clips as usize * self.frames as usize;
        Tensors { power: rows * self.bins as usize, ..Tensors::each(rows) }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 4.0 * lengths.power as f64,
            bytes: 4.0 * (lengths.power + 2 * lengths.centroids) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [bin_hz, share] = [self.bin_hz, self.share].map(|x| T::of(f64::from(x)));
        let results = tensors.centroids.par_iter_mut().zip(tensors.rolloffs.par_iter_mut());
        let spectra = tensors.power.par_chunks(self.bins as usize);
        results.zip(spectra).for_each(|((centroid, rolloff), power)| {
            let (mut total, mut moment) = (T::zero(), T::zero());
            for (k, &power) in power.iter().enumerate() {
                total += power.sqrt();
                moment += T::of(k as f64) * power.sqrt();
            }
            *centroid = if total > T::zero() { bin_hz * (moment / total) } else { T::zero() };
            let enough = share * total;
            let mut sum = T::zero();
            let reached = power.iter().position(|&power| {
                sum += power.sqrt();
                sum >= enough
            });
            *rolloff = bin_hz * T::of(reached.unwrap_or(0) as f64);
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        // Squares of small integers: their roots' sums are exact in f32, in any order, and so is
        // whether they reach a share that is a power of two. Zeros make silent ends and frames.
        let power = vec![0.0, 0.0, 0.0, 1.0, 4.0, 9.0, 144.0];
        Tensors { power: Draw::Among(power), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |clips, frames, bins, share| Self { clips, frames, bins, bin_hz: 10.5, share };
        vec![
            Case::new("minimal", params(1, 1, 33, 0.5)),
            Case::new("odd", params(3, 67, 129, 0.75)),
            Case::new("typical", params(2, 130, 1025, 0.875)),
            Case::new("silent frames among short ones", params(2, 200, 3, 0.75)),
        ]
    }
}
