//! energies[clip, m, frame] = Σ_k weight[m, k] · power[clip, frame, k]

use rayon::prelude::*;

use super::MelFilters;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "features/mel",
    params {
        /// Clips.
        clips: u32,
        /// Frames of a clip.
        frames: u32,
        /// Bins of a frame, n_fft / 2 + 1.
        bins: u32,
        /// Mel bands.
        mels: u32,
        /// Weights of all bands together.
        weights: u32,
    },
    tensors {
        /// [clips, frames, bins]
        power: read f32,
        /// [mels, 3], see [`MelFilters::bands`]
        bands: read u32,
        /// [weights], see [`MelFilters::weights`]
        weights: read f32,
        /// [clips, mels, frames]
        energies: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.frames, 4 * 64), params.mels, params.clips])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [clips, frames, bins, mels] =
            [self.clips, self.frames, self.bins, self.mels].map(|n| n as usize);
        Tensors {
            power: clips * frames * bins,
            bands: 3 * mels,
            weights: self.weights as usize,
            energies: clips * mels * frames,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * f64::from(self.weights) * f64::from(self.clips) * f64::from(self.frames),
            bytes: 4.0 * (lengths.power + lengths.energies) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [frames, bins, mels] = [self.frames, self.bins, self.mels].map(|n| n as usize);
        tensors.energies.par_chunks_mut(frames).enumerate().for_each(|(row, energies)| {
            let (clip, band) = (row / mels, row % mels);
            let [first, count, offset] = [0, 1, 2].map(|i| tensors.bands[3 * band + i] as usize);
            let weights = &tensors.weights[offset..offset + count];
            let power = tensors.power[clip * frames * bins..].chunks(bins);
            for (energy, power) in energies.iter_mut().zip(power) {
                *energy = weights.iter().zip(&power[first..]).map(|(&w, &p)| w * p).sum();
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        let filters = filters(self.bins, self.mels);
        Tensors {
            power: Draw::Uniform(0.0, 1.0),
            bands: Draw::Words(filters.bands),
            weights: Draw::Values(filters.weights.into_iter().map(|x| x as f32).collect()),
            energies: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |clips, frames, bins, mels| {
            let weights = filters(bins, mels).weights.len() as u32;
            Self { clips, frames, bins, mels, weights }
        };
        vec![
            Case::new("minimal", params(1, 1, 33, 1)),
            // At 40 bands over 33 bins some are empty.
            Case::new("odd", params(3, 67, 33, 40)),
            // In two workgroups.
            Case::new("typical", params(2, 300, 1025, 128)),
        ]
    }
}

/// The filters of a verification case.
fn filters(bins: u32, mels: u32) -> MelFilters {
    MelFilters::slaney(22_050, 2 * (bins as usize - 1), mels as usize, 0.0, 11_025.0)
}
