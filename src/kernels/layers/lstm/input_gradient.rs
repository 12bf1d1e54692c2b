//! d_x[n, t, j] = Σ_d,u,g d_gates[d, n, t, u, g] · weight_ih[d, g, u, j]

use rayon::prelude::*;

use crate::kernels::layers::lstm::{add_scaled, lanes, product_of_eights};
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/input_gradient",
    pieces ["lstm_input_gradient", "lstm_gate_pairs"],
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
        /// [2, 4, units, features]
        weight_ih: read f32,
        /// [batch, steps, features]
        d_x: write f32,
    },
}

impl Params {
    fn grid(&self) -> Grid {
        let lanes = lanes(self.features);
        Grid {
            constants: vec![("LANES", f64::from(lanes))],
            ..Grid::of([cover(self.features, 8 * lanes), cover(self.rows, 512 / lanes), 1])
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/lstm/input_gradient@eights", "layers/lstm/input_gradient@eights",
                pieces ["product_of_eights", "four_products"],
                Facts::hands_round_eights, |_| true
            ),
            grid: |params| product_of_eights([params.features.div_ceil(4), params.rows], 1),
        },
        Schedule {
            // On software, more waves are no gain, and barriers cost.
            shader: kernel!(
                @shader "layers/lstm/input_gradient@wide", "layers/lstm/input_gradient@wide",
                pieces ["lstm_input_gradient", "lstm_gate_pairs"],
                |_| true, |facts| !facts.software
            ),
            grid: Self::grid,
        },
        Schedule::general(Self::grid),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        Tensors { d_gates: 8 * rows * units, weight_ih: 8 * units * features, d_x: rows * features }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 16.0 * f64::from(self.units) * lengths.d_x as f64,
            bytes: 4.0 * (lengths.d_gates + lengths.weight_ih + lengths.d_x) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        tensors.d_x.par_chunks_mut(features).enumerate().for_each(|(row, d_x)| {
            d_x.fill(T::zero());
            for (index, weights) in tensors.weight_ih.chunks(features).enumerate() {
                let (d, g, u) = (index / (4 * units), index / units % 4, index % units);
                add_scaled(d_x, tensors.d_gates[((d * rows + row) * units + u) * 4 + g], weights);
            }
        });
    }

    fn cases() -> Vec<Case<Self>> {
        let mut cases = vec![
            Case::new("minimal", Self { rows: 1, features: 1, units: 1 }),
            Case::new("odd", Self { rows: 21, features: 37, units: 13 }),
            Case::new("typical", Self { rows: 8 * 20, features: 128, units: 128 }),
        ];
        // A second tile that ends in each of a thread's eight columns.
        cases.extend((0..8).map(|column| {
            let features = 128 + 16 * column + 5;
            Case::new("a tile in part", Self { rows: 3, features, units: 2 })
        }));
        cases
    }
}
