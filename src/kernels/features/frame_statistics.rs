//! statistics[clip] = mean and population standard deviation over the frames (`numpy.mean`,
//! `numpy.std`) of zero crossing rate, spectral centroid and spectral rolloff

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "features/frame_statistics",
    params {
        /// Clips.
        clips: u32,
        /// Frames of a clip.
        frames: u32,
    },
    tensors {
        /// [clips, frames]
        rates: read f32,
        /// [clips, frames], Hz
        centroids: read f32,
        /// [clips, frames], Hz
        rolloffs: read f32,
        /// [clips, 6]: each series' mean, then its deviation
        statistics: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([3, params.clips, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let (clips, frames) = (self.clips as usize, self.frames as usize);
        Tensors { statistics: 6 * clips, ..Tensors::each(clips * frames) }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost { flops: 12.0 * lengths.rates as f64, bytes: 12.0 * lengths.rates as f64 }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let frames = self.frames as usize;
        let count = T::of(f64::from(self.frames));
        let series = [tensors.rates, tensors.centroids, tensors.rolloffs];
        for (clip, statistics) in tensors.statistics.chunks_mut(6).enumerate() {
            for (series, pair) in series.iter().zip(statistics.chunks_mut(2)) {
                let series = &series[clip * frames..][..frames];
                let mean = series.iter().copied().sum::<T>() / count;
                let squares: T = series.iter().map(|&x| (x - mean) * (x - mean)).sum();
                pair.copy_from_slice(&[mean, (squares / count).sqrt()]);
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            rates: Draw::Uniform(0.0, 0.3),
            centroids: Draw::Normal(2000.0, 800.0),
            rolloffs: Draw::Normal(4000.0, 1500.0),
            statistics: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { clips: 1, frames: 1 }),
            Case::new("odd", Self { clips: 3, frames: 67 }),
            Case::new("more frames than threads", Self { clips: 2, frames: 700 }),
            Case::new("typical", Self { clips: 4, frames: 1292 }),
        ]
    }
}
