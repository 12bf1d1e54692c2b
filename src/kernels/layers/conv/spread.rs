//! A branch's planar input as one quad, for a first block that the `entry_` kernels do not take.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel, row};

kernel! {
    "layers/conv/spread",
    params {
        elements: u32,
        /// Threads of a row of workgroups.
        row: u32,
    },
    tensors {
        /// [clips, bands, steps]
        input: read f32,
        /// [clips, 1, bands, steps, 4]
        output: write f32,
        /// [2, 1, 4]: the scale and the shift that change nothing
        affine: write f32,
    },
}

impl Params {
    /// For an input of so many elements.
    pub fn new(elements: u32) -> Self {
        Self { elements, row: row(elements, 64) }
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let elements = self.elements as usize;
        Tensors { input: elements, output: 4 * elements, affine: 8 }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.row / 64, cover(self.elements, self.row), 1]
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 20.0 * f64::from(self.elements) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        tensors.output.fill(T::zero());
        for (quad, &x) in tensors.output.chunks_exact_mut(4).zip(tensors.input) {
            quad[0] = x;
        }
        let (scale, shift) = tensors.affine.split_at_mut(4);
        scale.fill(T::one());
        shift.fill(T::zero());
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { input: Draw::NORMAL, output: Draw::NORMAL, affine: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1)),
            Case::new("odd", Self::new(1001)),
            Case::new("typical", Self::new(128 * 1292)),
        ]
    }
}
