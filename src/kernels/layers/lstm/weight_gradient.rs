//! d_weight_ih[d, g, u, j] = Σ_n,t d_gates[d, n, t, u, g] · x[n, t, j]

use rayon::prelude::*;

use crate::kernels::layers::lstm::{add_scaled, lanes};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Constants, Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/lstm/weight_gradient",
    params {
        /// batch · steps
        rows: u32,
        features: u32,
        units: u32,
    },
    tensors {
        /// [2, batch, steps, units, 4]
        d_gates: read f32,
        /// [batch, steps, features]
        x: read f32,
        /// [2, 4, units, features]
        d_weight_ih: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [rows, features, units] = [self.rows, self.features, self.units].map(|n| n as usize);
        Tensors { d_gates: 8 * rows * units, x: rows * features, d_weight_ih: 8 * units * features }
    }

    fn workgroups(&self) -> [u32; 3] {
        let lanes = lanes(self.features);
        [cover(self.features, 8 * lanes), cover(self.units, 128 / lanes), 2]
    }

    fn constants(&self) -> Constants {
        vec![("LANES", f64::from(lanes(self.features)))]
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 2.0 * f64::from(self.rows) * lengths.d_weight_ih as f64,
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
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { d_gates: Draw::NORMAL, x: Draw::NORMAL, d_weight_ih: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { rows: 1, features: 1, units: 1 }),
            Case::new("odd", Self { rows: 21, features: 37, units: 13 }),
            Case::new("several tiles of features", Self { rows: 3, features: 301, units: 5 }),
            Case::new("typical", Self { rows: 8 * 20, features: 128, units: 128 }),
        ]
    }
}
