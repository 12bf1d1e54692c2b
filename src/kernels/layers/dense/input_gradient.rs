//! d_input[n, i] = Σ_o d_output[n, o] · weight[o, i]

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/dense/input_gradient",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip in the input.
        inputs: u32,
        /// Numbers of a clip in the output.
        outputs: u32,
    },
    tensors {
        /// [batch, outputs]
        d_output: read f32,
        /// [outputs, inputs]
        weight: read f32,
        /// [batch, inputs]
        d_input: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch * params.inputs, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, inputs, outputs] = [self.batch, self.inputs, self.outputs].map(|n| n as usize);
        Tensors { d_output: batch * outputs, weight: outputs * inputs, d_input: batch * inputs }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * f64::from(self.batch) * f64::from(self.inputs) * f64::from(self.outputs),
            bytes: 4.0 * (lengths.d_output + lengths.weight + lengths.d_input) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (inputs, outputs) = (self.inputs as usize, self.outputs as usize);
        for (dx, dy) in tensors.d_input.chunks_mut(inputs).zip(tensors.d_output.chunks(outputs)) {
            dx.fill(T::zero());
            for (&dy, w) in dy.iter().zip(tensors.weight.chunks(inputs)) {
                for (dx, &w) in dx.iter_mut().zip(w) {
                    *dx += dy * w;
                }
            }
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1, inputs: 1, outputs: 1 }),
            Case::new("odd", Self { batch: 5, inputs: 37, outputs: 13 }),
            Case::new("typical", Self { batch: 32, inputs: 128, outputs: 10 }),
        ]
    }
}
