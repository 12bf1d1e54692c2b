//! d_weight_hh[d, g, u, j] = Σ_n,t d_gates[d, n, t, u, g] · h[n, t', d, j], with t' the step walked
//! before t; the first step has none

use rayon::prelude::*;

use crate::kernels::layers::lstm::{BUSY, add_scaled, outer_product, product_of_eights, visited};
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/lstm/recurrent_gradient",
    pieces ["lstm_weight_gradient", "lstm_weight_rows"],
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// Units of a direction.
        units: u32,
    },
    tensors {
        /// [2, batch, steps, units, 4]
        d_gates: read f32,
        /// [batch, steps, 2, units]
        hidden: read f32,
        /// [2, 4, units, units]
        d_weight_hh: shares f32,
    },
}

impl Params {
    fn grid(&self, most: u32) -> Grid {
        outer_product(self.units, self.units, [self.batch, self.steps - 1], most)
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/lstm/recurrent_gradient@eights", "layers/lstm/recurrent_gradient",
                pieces [
                    "lstm_weight_gradient_of_eights", "product_of_eights", "four_products",
                    "lstm_weight_rows"
                ],
                Facts::hands_round_eights, |_| true
            ),
            grid: |params| product_of_eights([params.units, params.units], 2),
        },
        Schedule {
            // On software, shares are only more to add up.
            shader: kernel!(
                @shader "layers/lstm/recurrent_gradient@whole", "layers/lstm/recurrent_gradient",
                pieces ["lstm_weight_gradient", "lstm_weight_rows"],
                |_| true, |facts| facts.software
            ),
            grid: |params| params.grid(1),
        },
        Schedule::general(|params| params.grid(BUSY)),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        Tensors {
            d_gates: 8 * batch * steps * units,
            hidden: 2 * batch * steps * units,
            d_weight_hh: 8 * units * units,
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        let products = f64::from(self.batch) * f64::from(self.steps - 1);
        Cost {
            flops: 2.0 * products * lengths.d_weight_hh as f64,
            bytes: 4.0 * (lengths.d_gates + lengths.hidden + lengths.d_weight_hh) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        tensors.d_weight_hh.par_chunks_mut(units).enumerate().for_each(|(index, sums)| {
            let (d, g, u) = (index / (4 * units), index / units % 4, index % units);
            sums.fill(T::zero());
            for n in 0..batch {
                for s in 1..steps {
                    let row = (d * batch + n) * steps + visited(d, s, steps);
                    let before = n * steps + visited(d, s - 1, steps);
                    let h = &tensors.hidden[(before * 2 + d) * units..][..units];
                    add_scaled(sums, tensors.d_gates[(row * units + u) * 4 + g], h);
                }
            }
        });
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1, steps: 1, units: 1 }),
            Case::new("odd", Self { batch: 3, steps: 7, units: 13 }),
            Case::new("uneven shares", Self { batch: 40, steps: 8, units: 13 }),
            Case::new("several tiles of units", Self { batch: 2, steps: 3, units: 150 }),
            Case::new("typical", Self { batch: 8, steps: 20, units: 128 }),
            // As many rows as `rnn-handcrafted` has: of 41 344 products added up one after the
            // other, rounding is a random walk; 4.1e-6 was seen.
            Case::new("long", Self { batch: 32, steps: 1292, units: 3 }).within(1e-5),
        ]
    }
}
