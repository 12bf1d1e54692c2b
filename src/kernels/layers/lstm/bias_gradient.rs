//! d_bias[d, g, u] = Σ_n,t d_gates[d, n, t, u, g]

use crate::kernels::layers::lstm::add_scaled;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/lstm/bias_gradient",
    params {
        /// batch · steps
        rows: u32,
        units: u32,
    },
    tensors {
        /// [2, batch, steps, units, 4]
        d_gates: read f32,
        /// [2, 4, units]
        d_bias: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let (rows, units) = (self.rows as usize, self.units as usize);
        Tensors { d_gates: 8 * rows * units, d_bias: 8 * units }
    }

    fn workgroups(&self) -> [u32; 3] {
        [cover(2 * self.units, 8), 1, 1]
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: lengths.d_gates as f64,
            bytes: 4.0 * (lengths.d_gates + lengths.d_bias) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (rows, units) = (self.rows as usize, self.units as usize);
        let directions = tensors.d_gates.chunks(rows * 4 * units);
        for (d_gates, d_bias) in directions.zip(tensors.d_bias.chunks_mut(4 * units)) {
            let mut sums = vec![T::zero(); 4 * units];
            for d_gates in d_gates.chunks(4 * units) {
                add_scaled(&mut sums, T::one(), d_gates);
            }
            for (r, sum) in d_bias.iter_mut().enumerate() {
                *sum = sums[r % units * 4 + r / units];
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { d_gates: Draw::NORMAL, d_bias: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { rows: 1, units: 1 }),
            Case::new("odd", Self { rows: 21, units: 13 }),
            Case::new("typical", Self { rows: 8 * 20, units: 128 }),
        ]
    }
}
