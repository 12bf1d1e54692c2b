//! gradient\[e\] ← gradient\[e\] + part\[e\]: gradients of a batch that is worked on in parts

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "optim/accumulate",
    params {
        /// Numbers in the tensors.
        elements: u32,
    },
    tensors {
        /// \[elements\]
        part: read f32,
        /// \[elements\]
        gradient: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.elements, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors::each(self.elements as usize)
    }

    fn cost(&self) -> Cost {
        Cost { flops: f64::from(self.elements), bytes: 12.0 * f64::from(self.elements) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        for (sum, &part) in tensors.gradient.iter_mut().zip(tensors.part) {
            *sum += part;
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { elements: 1 }),
            Case::new("odd", Self { elements: 333 }),
            Case::new("typical", Self { elements: 8 * 128 * 128 }),
        ]
    }
}
