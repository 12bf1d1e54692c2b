//! A copy: the memory ceiling of an adapter.

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel, rows};

kernel! {
    "bench/copy",
    params {
        /// Groups of four numbers.
        quads: u32,
    },
    tensors {
        /// [quads, 4]
        input: read f32,
        /// [quads, 4]
        output: write f32,
    },
}

impl Params {
    /// Copies so many groups of four numbers.
    pub fn new(quads: u32) -> Self {
        Self { quads }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of(rows(params.quads, 64)))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors::each(4 * self.quads as usize)
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 32.0 * f64::from(self.quads) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        tensors.output.copy_from_slice(tensors.input);
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1)),
            Case::new("odd", Self::new(1001)),
            Case::new("typical, more than a row", Self::new(70_001)),
        ]
    }
}
