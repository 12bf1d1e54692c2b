//! output[clip, i] = (input[clip, i] − mean) · inverse_deviation

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "features/standardise",
    params {
        clips: u32,
        /// Elements of a clip.
        size: u32,
        mean: f32,
        inverse_deviation: f32,
    },
    tensors {
        /// [clips, size]
        input: read f32,
        /// [clips, size]
        output: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let elements = self.clips as usize * self.size as usize;
        Tensors { input: elements, output: elements }
    }

    fn workgroups(&self) -> [u32; 3] {
        [cover(self.size, 64), self.clips, 1]
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().input as f64;
        Cost { flops: 2.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [mean, inverse] = [self.mean, self.inverse_deviation].map(|x| T::of(f64::from(x)));
        for (y, &x) in tensors.output.iter_mut().zip(tensors.input) {
            *y = (x - mean) * inverse;
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        let (mean, deviation) = (f64::from(self.mean), 1.0 / f64::from(self.inverse_deviation));
        Tensors { input: Draw::Normal(mean, deviation), output: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |clips, size| Self { clips, size, mean: -37.5, inverse_deviation: 0.0625 };
        vec![
            Case::new("minimal", params(1, 1)),
            Case::new("odd", params(3, 1001)),
            Case::new("typical", params(4, 128 * 130)),
        ]
    }
}
