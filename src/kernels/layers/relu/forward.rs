//! output[n, offset + i] = max(0, input[n, i])

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/relu/forward",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip.
        columns: u32,
        /// Columns of the output.
        width: u32,
        /// The first column written.
        offset: u32,
    },
    tensors {
        /// [batch, columns]
        input: read f32,
        /// [batch, width]: others write the other columns
        output: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch * params.columns, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, columns, width] = [self.batch, self.columns, self.width].map(|n| n as usize);
        Tensors { input: batch * columns, output: batch * width }
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().input as f64;
        Cost { flops: elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let rows = tensors.output.chunks_mut(self.width as usize);
        for (x, y) in tensors.input.chunks(self.columns as usize).zip(rows) {
            for (y, &x) in y[self.offset as usize..].iter_mut().zip(x) {
                *y = x.max(T::zero());
            }
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1, columns: 1, width: 1, offset: 0 }),
            Case::new("odd", Self { batch: 5, columns: 13, width: 41, offset: 9 }),
            Case::new("typical", Self { batch: 32, columns: 32, width: 160, offset: 128 }),
        ]
    }
}
