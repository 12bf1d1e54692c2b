//! packed[k, d, u, g] = weight[d, g, u, k], for weight_ih (inputs = features) and weight_hh
//! (inputs = units)

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/lstm/pack",
    params { units: u32, inputs: u32 },
    tensors {
        /// [2, 4, units, inputs]
        weight: read f32,
        /// [inputs, 2, units, 4]
        packed: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let weights = 8 * self.units as usize * self.inputs as usize;
        Tensors { weight: weights, packed: weights }
    }

    fn workgroups(&self) -> [u32; 3] {
        [cover(2 * self.units * self.inputs, 64), 1, 1]
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 8.0 * self.lengths().packed as f64 }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (units, inputs) = (self.units as usize, self.inputs as usize);
        for (row, weights) in tensors.weight.chunks(inputs).enumerate() {
            let (d, g, u) = (row / (4 * units), row / units % 4, row % units);
            let column = (d * units + u) * 4 + g;
            for (packed, &w) in tensors.packed.chunks_mut(8 * units).zip(weights) {
                packed[column] = w;
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { weight: Draw::NORMAL, packed: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { units: 1, inputs: 1 }),
            Case::new("odd", Self { units: 13, inputs: 37 }),
            Case::new("typical", Self { units: 128, inputs: 128 }),
        ]
    }
}
