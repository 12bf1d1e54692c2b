//! output[n, t, m] = (input[first + n, m, t] − mean) · inverse_deviation

use super::Spectrograms;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "features/frames",
    params {
        /// Clips of the input.
        batch: u32,
        /// The first clip of the output.
        first: u32,
        /// Clips of the output.
        clips: u32,
        /// Mel bands.
        mels: u32,
        /// Frames of a clip.
        frames: u32,
        /// What standardises the input.
        spectrograms: Spectrograms,
    },
    tensors {
        /// [batch, mels, frames], in dB
        input: read f32,
        /// [clips, frames, mels]
        output: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(params.frames, 16), cover(params.mels, 16), params.clips])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, clips, mels, frames] =
            [self.batch, self.clips, self.mels, self.frames].map(|n| n as usize);
        Tensors { input: batch * mels * frames, output: clips * mels * frames }
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().output as f64;
        Cost { flops: 2.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [first, mels, frames] = [self.first, self.mels, self.frames].map(|n| n as usize);
        let clips = tensors.input.chunks(mels * frames).skip(first);
        for (clip, output) in clips.zip(tensors.output.chunks_mut(frames * mels)) {
            let clip = self.spectrograms.standardised(clip);
            for (t, frame) in output.chunks_mut(mels).enumerate() {
                for (m, y) in frame.iter_mut().enumerate() {
                    *y = clip[m * frames + t];
                }
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        let Spectrograms { mean, inverse_deviation } = self.spectrograms;
        let input = Draw::Normal(f64::from(mean), 1.0 / f64::from(inverse_deviation));
        Tensors { input, output: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |[batch, first, clips]: [u32; 3], mels, frames| Self {
            batch,
            first,
            clips,
            mels,
            frames,
            spectrograms: Spectrograms { mean: -37.5, inverse_deviation: 0.0625 },
        };
        vec![
            Case::new("minimal", params([1, 0, 1], 1, 1)),
            Case::new("odd", params([5, 2, 3], 37, 67)),
            Case::new("typical", params([4, 0, 4], 128, 130)),
        ]
    }
}
