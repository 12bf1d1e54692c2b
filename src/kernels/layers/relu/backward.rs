//! d_input[n, i] = d_output[n, offset + i] where input[n, i] > 0, else 0

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/relu/backward",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip.
        columns: u32,
        /// Columns of d_output.
        width: u32,
        /// The first column read.
        offset: u32,
    },
    tensors {
        /// [batch, columns]: of the forward pass
        input: read f32,
        /// [batch, width]
        d_output: read f32,
        /// [batch, columns]
        d_input: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch * params.columns, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, columns, width] = [self.batch, self.columns, self.width].map(|n| n as usize);
        Tensors { input: batch * columns, d_output: batch * width, d_input: batch * columns }
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().input as f64;
        Cost { flops: elements, bytes: 12.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let columns = self.columns as usize;
        let rows = tensors.input.chunks(columns).zip(tensors.d_output.chunks(self.width as usize));
        for ((x, dy), dx) in rows.zip(tensors.d_input.chunks_mut(columns)) {
            let dy = &dy[self.offset as usize..];
            for ((dx, &x), &dy) in dx.iter_mut().zip(x).zip(dy) {
                *dx = if x > T::zero() { dy } else { T::zero() };
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // Exact zeros too: they pass nothing on.
        let input = Draw::Among(vec![-1.5, -0.25, 0.0, 0.25, 1.5]);
        Tensors { input, ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1, columns: 1, width: 1, offset: 0 }),
            Case::new("odd", Self { batch: 5, columns: 13, width: 41, offset: 9 }),
            Case::new("typical", Self { batch: 32, columns: 32, width: 160, offset: 128 }),
        ]
    }
}
