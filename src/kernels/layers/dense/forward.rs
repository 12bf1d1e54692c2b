//! output[n, o] = bias[o] + Σ_i input[n, i] · weight[o, i]

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/dense/forward",
    params {
        /// Clips.
        batch: u32,
        /// Numbers of a clip in the input.
        inputs: u32,
        /// Numbers of a clip in the output.
        outputs: u32,
    },
    tensors {
        /// [batch, inputs]
        input: read f32,
        /// [outputs, inputs]
        weight: read f32,
        /// \[outputs\]
        bias: read f32,
        /// [batch, outputs]
        output: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch * params.outputs, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, inputs, outputs] = [self.batch, self.inputs, self.outputs].map(|n| n as usize);
        Tensors {
            input: batch * inputs,
            weight: outputs * inputs,
            bias: outputs,
            output: batch * outputs,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * f64::from(self.batch) * f64::from(self.inputs) * f64::from(self.outputs),
            bytes: 4.0 * (lengths.input + lengths.weight + lengths.bias + lengths.output) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (inputs, outputs) = (self.inputs as usize, self.outputs as usize);
        for (x, y) in tensors.input.chunks(inputs).zip(tensors.output.chunks_mut(outputs)) {
            for ((y, w), &b) in y.iter_mut().zip(tensors.weight.chunks(inputs)).zip(tensors.bias) {
                *y = b + x.iter().zip(w).map(|(&x, &w)| x * w).sum::<T>();
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
