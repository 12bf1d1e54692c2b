//! output[clip, i] = (input[clip, i] − mean) · inverse_deviation, of log-mel features

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "features/standardise",
    params {
        clips: u32,
        /// Elements of a clip's spectrogram.
        size: u32,
        /// Elements of a clip in the input: hand-crafted features may follow the spectrogram.
        stride: u32,
        mean: f32,
        inverse_deviation: f32,
    },
    tensors {
        /// [clips, stride]
        input: read f32,
        /// [clips, size]
        output: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [clips, size, stride] = [self.clips, self.size, self.stride].map(|n| n as usize);
        Tensors { input: clips * stride, output: clips * size }
    }

    fn workgroups(&self) -> [u32; 3] {
        [cover(self.size, 64), self.clips, 1]
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().output as f64;
        Cost { flops: 2.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [mean, inverse] = [self.mean, self.inverse_deviation].map(|x| T::of(f64::from(x)));
        let clips = tensors.input.chunks(self.stride as usize);
        for (clip, output) in clips.zip(tensors.output.chunks_mut(self.size as usize)) {
            for (y, &x) in output.iter_mut().zip(clip) {
                *y = (x - mean) * inverse;
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        let (mean, deviation) = (f64::from(self.mean), 1.0 / f64::from(self.inverse_deviation));
        Tensors { input: Draw::Normal(mean, deviation), output: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |clips, size, stride| Self {
            clips,
            size,
            stride,
            mean: -37.5,
            inverse_deviation: 0.0625,
        };
        vec![
            Case::new("minimal", params(1, 1, 1)),
            Case::new("odd", params(3, 1001, 1007)),
            Case::new("typical", params(4, 128 * 130, 128 * 130)),
        ]
    }
}
