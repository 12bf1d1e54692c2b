//! A branch's planar input, standardised, as one quad, for a first block that the `entry_` kernels do
//! not take.

use crate::kernels::features::Spectrograms;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/conv/spread",
    params {
        /// Elements of a spectrogram.
        plane: u32,
        /// Clips.
        clips: u32,
        /// What standardises the input.
        spectrograms: Spectrograms,
    },
    tensors {
        /// [clips, bands, steps], in dB
        input: read f32,
        /// [clips, 1, bands, steps, 4]
        output: write f32,
        /// [2, 1, 4]: the scale and the shift that change nothing
        affine: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.plane, 64), params.clips, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let input = self.clips as usize * self.plane as usize;
        Tensors { input, output: 4 * input, affine: 8 }
    }

    fn cost(&self) -> Cost {
        let elements = f64::from(self.clips) * f64::from(self.plane);
        Cost { flops: 2.0 * elements, bytes: 20.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        tensors.output.fill(T::zero());
        let input = self.spectrograms.standardised(tensors.input);
        for (quad, x) in tensors.output.chunks_exact_mut(4).zip(input) {
            quad[0] = x;
        }
        let (scale, shift) = tensors.affine.split_at_mut(4);
        scale.fill(T::one());
        shift.fill(T::zero());
    }

    fn cases() -> Vec<Case<Self>> {
        let spectrograms = Spectrograms { mean: -1.5, inverse_deviation: 0.5 };
        let case = |clips, plane| Self { plane, clips, spectrograms };
        vec![
            Case::new("minimal", case(1, 1)),
            Case::new("odd", case(3, 1001)),
            Case::new("typical", case(2, 128 * 1292)),
        ]
    }
}
