//! gates[d, n, t, u, g] = bias[d, g, u] + Σ_k x[n, t, k] · weight_ih[d, g, u, k]

use rayon::prelude::*;

use crate::kernels::layers::lstm::{add_scaled, product_of_eights};
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/input_product",
    params {
        /// batch · steps
        rows: u32,
        /// Numbers of a step in the input.
        features: u32,
        /// Units of a direction.
        units: u32,
    },
    tensors {
        /// [batch, steps, features]
        x: read f32,
        /// [features, 2, units, 4]: weight_ih, packed
        packed_ih: read f32,
        /// [2, 4, units]
        bias: read f32,
        /// [2, batch, steps, units, 4]
        gates: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/lstm/input_product@eights", "layers/lstm/input_product@eights",
                pieces ["product_of_eights", "four_products"],
                Facts::hands_round_eights, |_| true
            ),
            grid: |params| product_of_eights([2 * params.units, params.rows], 1),
        },
        Schedule::general(|params| {
            Grid::of([cover(2 * params.units, 32), cover(params.rows, 32), 1])
        }),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        Tensors {
            x: rows * features,
            packed_ih: 8 * units * features,
            bias: 8 * units,
            gates: 8 * rows * units,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * f64::from(self.features) * lengths.gates as f64,
            bytes: 4.0 * (lengths.x + lengths.packed_ih + lengths.bias + lengths.gates) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        tensors.gates.par_chunks_mut(4 * units).enumerate().for_each(|(index, gates)| {
            let (d, row) = (index / rows, index % rows);
            for (u, quad) in gates.chunks_mut(4).enumerate() {
                for (g, gate) in quad.iter_mut().enumerate() {
                    *gate = tensors.bias[(d * 4 + g) * units + u];
                }
            }
            let x = &tensors.x[row * features..][..features];
            for (&x, weights) in x.iter().zip(tensors.packed_ih.chunks(8 * units)) {
                add_scaled(gates, x, &weights[d * 4 * units..][..4 * units]);
            }
        });
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { rows: 1, features: 1, units: 1 }),
            Case::new("odd", Self { rows: 21, features: 37, units: 13 }),
            Case::new("many features", Self { rows: 3, features: 301, units: 5 }),
            Case::new("typical", Self { rows: 8 * 20, features: 128, units: 128 }),
        ]
    }
}
