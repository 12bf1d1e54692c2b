//! [`stft_power`] for frames of 2048 samples, the field's most usual length, on software adapters: two
//! passes instead of three, and half of the traffic through workgroup memory.

use super::stft_power;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

/// The transform's length.
const N_FFT: usize = 2048;

/// Whether this kernel is the one for frames of that length there. Its passes of 32 numbers in registers
/// leave a GPU little room for other threads.
pub fn suits(n_fft: usize, facts: &Facts) -> bool {
    n_fft == N_FFT && facts.software
}

/// Frames of a workgroup.
const FRAMES: u32 = 2;

kernel! {
    "features/stft_power_2048",
    pieces ["fourier"],
    params {
        /// Clips.
        clips: u32,
        /// Samples of a clip.
        samples: u32,
        /// Samples from a frame to the next.
        hop: u32,
        /// Zeros before the first sample and behind the last.
        padding: u32,
    },
    tensors {
        /// [clips, samples]
        samples: read f32,
        /// [1024, 2], see [`super::twiddles`]
        twiddles: read f32,
        /// [clips, frames, 1025]
        power: write f32,
    },
}

impl Params {
    fn general(&self) -> stft_power::Params {
        let Self { clips, samples, hop, padding } = *self;
        stft_power::Params { clips, samples, n_fft: N_FFT as u32, hop, padding }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let frames = params.general().frames() as u32;
        Grid::of([cover(frames, FRAMES), params.clips, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let stft_power::Tensors { samples, twiddles, power } = self.general().lengths();
        Tensors { samples, twiddles, power }
    }

    fn cost(&self) -> Cost {
        self.general().cost()
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { samples, twiddles, power } = tensors;
        self.general().reference(stft_power::Slices { samples, twiddles, power });
    }

    fn draw(&self) -> Tensors<Draw> {
        let stft_power::Tensors { samples, twiddles, power } = self.general().draw();
        Tensors { samples, twiddles, power }
    }

    fn cases() -> Vec<Case<Self>> {
        // As librosa centres frames.
        let centred = |clips, samples, hop| Self { clips, samples, hop, padding: N_FFT as u32 / 2 };
        vec![
            Case::new("minimal", centred(1, 1, 1)),
            // 13 frames: the last workgroup of a clip has one only.
            Case::new("odd", centred(3, 1000, 77)),
            Case::new("typical", centred(2, 8191, 512)),
            Case::new("without padding", Self { padding: 0, ..centred(2, 5000, 512) }),
        ]
    }
}
