//! total[0] ← total[0] + Σ_n loss[n]: the training loss of an epoch, read when it ends.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "loss/accumulate",
    params {
        /// Clips.
        batch: u32,
    },
    tensors {
        /// \[batch\]
        loss: read f32,
        /// \[1\]
        total: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|_| Grid::of([1, 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors { loss: self.batch as usize, total: 1 }
    }

    fn cost(&self) -> Cost {
        Cost { flops: f64::from(self.batch), bytes: 4.0 * f64::from(self.batch) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        tensors.total[0] += tensors.loss.iter().copied().sum::<T>();
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { loss: Draw::Uniform(0.0, 1.0), total: Draw::Uniform(0.0, 9.0) }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1 }),
            Case::new("odd", Self { batch: 37 }),
            Case::new("typical", Self { batch: 32 }),
        ]
    }
}
