//! d_weight[o, i] = Σ_n d_output[n, o] · input[n, i], d_bias[o] = Σ_n d_output[n, o]

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/dense/weight_gradient",
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
        /// [batch, inputs]
        input: read f32,
        /// [outputs, inputs]
        d_weight: write f32,
        /// \[outputs\]
        d_bias: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.inputs + 1, 64), params.outputs, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, inputs, outputs] = [self.batch, self.inputs, self.outputs].map(|n| n as usize);
        Tensors {
            d_output: batch * outputs,
            input: batch * inputs,
            d_weight: outputs * inputs,
            d_bias: outputs,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * f64::from(self.batch) * f64::from(self.inputs) * f64::from(self.outputs),
            bytes: 4.0 * (lengths.d_output + lengths.input + lengths.d_weight) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (inputs, outputs) = (self.inputs as usize, self.outputs as usize);
        tensors.d_weight.fill(T::zero());
        tensors.d_bias.fill(T::zero());
        for (x, dy) in tensors.input.chunks(inputs).zip(tensors.d_output.chunks(outputs)) {
            let rows = tensors.d_weight.chunks_mut(inputs).zip(tensors.d_bias.iter_mut());
            for (&dy, (dw, db)) in dy.iter().zip(rows) {
                for (dw, &x) in dw.iter_mut().zip(x) {
                    *dw += dy * x;
                }
                *db += dy;
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
