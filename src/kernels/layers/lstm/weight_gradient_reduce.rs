//! Adds up the shares of the gradients of an LSTM's weights and bias.

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel, over_shares};

kernel! {
    "layers/lstm/weight_gradient_reduce",
    params {
        /// Numbers of the input weights.
        inputs: u32,
        /// Numbers of the bias.
        biases: u32,
        /// Numbers of the recurrent weights.
        recurrent: u32,
        /// Shares of the input weights and the bias.
        input_shares: u32,
        /// Shares of the recurrent weights.
        recurrent_shares: u32,
    },
    tensors {
        /// [input_shares, inputs]
        ih_partial: read f32,
        /// [input_shares, biases]
        bias_partial: read f32,
        /// [recurrent_shares, recurrent]
        hh_partial: read f32,
        /// \[inputs\]
        d_weight_ih: write f32,
        /// \[biases\]
        d_bias: write f32,
        /// \[recurrent\]
        d_weight_hh: write f32,
    },
}

impl Params {
    /// For both directions of an LSTM of so many units on so many numbers; `shares` are those of the input
    /// weights and of the recurrent ones.
    pub fn new(features: u32, units: u32, shares: [u32; 2]) -> Self {
        Self {
            inputs: 8 * units * features,
            biases: 8 * units,
            recurrent: 8 * units * units,
            input_shares: shares[0],
            recurrent_shares: shares[1],
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let all = params.inputs + params.biases + params.recurrent;
        Grid::of([cover(all, 64), 1, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let Self { inputs, biases, recurrent, input_shares, recurrent_shares } = *self;
        let [d_weight_ih, d_bias, d_weight_hh] = [inputs, biases, recurrent].map(|n| n as usize);
        let [of_inputs, of_recurrent] = [input_shares, recurrent_shares].map(|n| n as usize);
        Tensors {
            ih_partial: of_inputs * d_weight_ih,
            bias_partial: of_inputs * d_bias,
            hh_partial: of_recurrent * d_weight_hh,
            d_weight_ih,
            d_bias,
            d_weight_hh,
        }
    }

    fn cost(&self) -> Cost {
        let Tensors { ih_partial, bias_partial, hh_partial, .. } = self.lengths();
        let read = (ih_partial + bias_partial + hh_partial) as f64;
        let written = f64::from(self.inputs + self.biases + self.recurrent);
        Cost { flops: read, bytes: 4.0 * (read + written) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        for (sums, partial) in [
            (tensors.d_weight_ih, tensors.ih_partial),
            (tensors.d_bias, tensors.bias_partial),
            (tensors.d_weight_hh, tensors.hh_partial),
        ] {
            let length = sums.len();
            for (at, sum) in sums.iter_mut().enumerate() {
                *sum = over_shares(partial, length, at);
            }
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1, [1, 1])),
            Case::new("odd", Self::new(37, 13, [3, 5])),
            Case::new("typical", Self::new(128, 128, [10, 10])),
        ]
    }
}
