//! d_weight_ih[d, g, u, j] = Σ_n,t d_gates[d, n, t, u, g] · x[n, t, j]
//! d_bias[d, g, u] = Σ_n,t d_gates[d, n, t, u, g]

use rayon::prelude::*;

use crate::kernels::layers::lstm::{BUSY, add_scaled, outer_product, product_of_eights};
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/lstm/weight_gradient",
    pieces ["lstm_weight_gradient", "lstm_weight_rows"],
    params {
        /// batch · steps
        rows: u32,
        /// Numbers of a step in the input.
        features: u32,
        /// Units of a direction.
        units: u32,
    },
    tensors {
        /// [2, batch, steps, units, 4]
        d_gates: read f32,
        /// [batch, steps, features]
        x: read f32,
        /// [2, 4, units, features]
        d_weight_ih: shares f32,
        /// [2, 4, units]
        d_bias: shares f32,
    },
}

impl Params {
    fn grid(&self, most: u32) -> Grid {
        outer_product(self.features, self.units, [1, self.rows], most)
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/lstm/weight_gradient@eights", "layers/lstm/weight_gradient",
                pieces [
                    "lstm_weight_gradient_of_eights", "product_of_eights", "four_products",
                    "lstm_weight_rows"
                ],
                Facts::hands_round_eights, |_| true
            ),
            grid: |params| product_of_eights([params.units, params.features], 2),
        },
        Schedule {
            // On software, shares are only more to add up.
            shader: kernel!(
                @shader "layers/lstm/weight_gradient@whole", "layers/lstm/weight_gradient",
                pieces ["lstm_weight_gradient", "lstm_weight_rows"],
                |_| true, |facts| facts.software
            ),
            grid: |params| params.grid(1),
        },
        Schedule::general(|params| params.grid(BUSY)),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        Tensors {
            d_gates: 8 * rows * units,
            x: rows * features,
            d_weight_ih: 8 * units * features,
            d_bias: 8 * units,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: f64::from(self.rows) * (2 * lengths.d_weight_ih + lengths.d_bias) as f64,
            bytes: 4.0 * (lengths.d_gates + lengths.x + lengths.d_weight_ih) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        tensors.d_weight_ih.par_chunks_mut(features).enumerate().for_each(|(index, sums)| {
            let (d, g, u) = (index / (4 * units), index / units % 4, index % units);
            let d_gates = tensors.d_gates[d * rows * 4 * units..].chunks(4 * units);
            sums.fill(T::zero());
            for (x, d_gates) in tensors.x.chunks(features).zip(d_gates) {
                add_scaled(sums, d_gates[4 * u + g], x);
            }
        });
        tensors.d_bias.par_iter_mut().enumerate().for_each(|(index, sum)| {
            let (d, g, u) = (index / (4 * units), index / units % 4, index % units);
            let d_gates = tensors.d_gates[d * rows * 4 * units..].chunks(4 * units).take(rows);
            *sum = T::zero();
            for d_gates in d_gates {
                *sum += d_gates[4 * u + g];
            }
        });
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { rows: 1, features: 1, units: 1 }),
            Case::new("odd", Self { rows: 21, features: 37, units: 13 }),
            Case::new("uneven shares", Self { rows: 333, features: 37, units: 13 }),
            Case::new("several tiles of features", Self { rows: 3, features: 301, units: 5 }),
            Case::new("typical", Self { rows: 8 * 20, features: 128, units: 128 }),
            // As many rows as `rnn-handcrafted` has: of 41 344 products added up one after the
            // other, rounding is a random walk; 3.6e-6 was seen.
            Case::new("long", Self { rows: 32 * 1292, features: 5, units: 3 }).within(1e-5),
        ]
    }
}
