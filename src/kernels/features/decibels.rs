//! dB(S) = 10·log10(max(1e-10, S)),
//! decibels[clip, i] = max(dB(energies[clip, i]), dB(peak\[clip\]) − top_db)

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

/// Energies below this count as this.
const FLOOR: f64 = 1e-10;

kernel! {
    "features/decibels",
    pieces ["in_decibels"],
    params {
        /// Clips.
        clips: u32,
        /// Elements of a clip.
        size: u32,
        /// dB below the peak that are kept.
        top_db: f32,
    },
    tensors {
        /// [clips, size]
        energies: read f32,
        /// \[clips\]
        peak: read f32,
        /// [clips, size]
        decibels: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.size, 64), params.clips, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let (clips, size) = (self.clips as usize, self.size as usize);
        Tensors { peak: clips, ..Tensors::each(clips * size) }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            // The logarithm is about 25 operations.
            flops: 25.0 * lengths.energies as f64,
            bytes: 4.0 * (lengths.energies + lengths.decibels) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let in_decibels = |energy: T| T::of(10.0) * energy.max(T::of(FLOOR)).log10();
        let size = self.size as usize;
        let clips = tensors.decibels.par_chunks_mut(size).zip(tensors.energies.par_chunks(size));
        clips.zip(tensors.peak).for_each(|((decibels, energies), &peak)| {
            let lowest = in_decibels(peak) - T::of(f64::from(self.top_db));
            for (decibels, &energy) in decibels.iter_mut().zip(energies) {
                *decibels = in_decibels(energy).max(lowest);
            }
        });
    }

    /// Energies spread over 16 powers of ten, from below the floor to 1e4, and a zero in each clip;
    /// with the first clip's peak the clamp touches little, with later ones most.
    fn draw(&self) -> Tensors<Draw> {
        let golden = 0.618_033_988_75;
        let energy = |i: u32| match i % self.size {
            1 => (0.0, 0.0),
            i => {
                let middle = 10_f64.powf((golden * f64::from(i)).fract() * 16.0 - 12.0);
                (0.5 * middle, 2.0 * middle)
            }
        };
        let peak = |clip: u32| {
            let middle = 10_f64.powi(4 * clip as i32 - 4);
            (0.5 * middle, 2.0 * middle)
        };
        Tensors {
            energies: Draw::Ranges((0..self.clips * self.size).map(energy).collect()),
            peak: Draw::Ranges((0..self.clips).map(peak).collect()),
            decibels: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let near_0 = Self { clips: 2, size: 333, top_db: 80.0 };
        vec![
            Case::new("minimal", Self { clips: 1, size: 1, top_db: 80.0 }),
            Case::new("odd", Self { clips: 3, size: 1001, top_db: 60.0 }),
            Case::new("typical", Self { clips: 4, size: 128 * 130, top_db: 80.0 }),
            // Where the logarithm's last terms are not small beside the result.
            Case::new("near 0 dB", near_0).drawn(Tensors {
                energies: Draw::Uniform(0.5, 2.0),
                peak: Draw::Uniform(1.0, 2.0),
                decibels: Draw::NORMAL,
            }),
        ]
    }
}
