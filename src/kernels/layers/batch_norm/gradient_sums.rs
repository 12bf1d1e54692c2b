//! Σ d_output and Σ d_output · x̂ of each clip, over the pooled plane.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, kernel};

kernel! {
    "layers/batch_norm/gradient_sums",
    pieces ["pair_sums"],
    params { clips: u32, quads: u32, plane: u32 },
    tensors {
        /// [clips, quads, plane, 4]
        d_output: read f32,
        /// [clips, quads, plane, 4]
        pooled: read f32,
        /// [3, quads, 4]: mean, 1 / √(variance + ε), scale
        moments: read f32,
        /// [clips, quads, 2, 4]
        partial: write f32,
    },
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [clips, quads, plane] = [self.clips, self.quads, self.plane].map(|n| n as usize);
        let elements = clips * quads * plane * 4;
        Tensors {
            d_output: elements,
            pooled: elements,
            moments: 12 * quads,
            partial: clips * quads * 8,
        }
    }

    fn workgroups(&self) -> [u32; 3] {
        [self.quads, self.clips, 1]
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().pooled as f64;
        Cost { flops: 4.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (quads, plane) = (self.quads as usize, 4 * self.plane as usize);
        let (mean, inverse) = tensors.moments.split_at(4 * quads);
        for (at, partial) in tensors.partial.chunks_exact_mut(8).enumerate() {
            partial.fill(T::zero());
            let first = 4 * (at % quads);
            let d_output = tensors.d_output[at * plane..][..plane].chunks_exact(4);
            let pooled = tensors.pooled[at * plane..][..plane].chunks_exact(4);
            for (d, x) in d_output.zip(pooled) {
                for c in 0..4 {
                    partial[c] += d[c];
                    partial[4 + c] += d[c] * (x[c] - mean[first + c]);
                }
            }
            for c in 0..4 {
                partial[4 + c] *= inverse[first + c];
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            d_output: Draw::NORMAL,
            pooled: Draw::Uniform(0.0, 2.0),
            moments: Draw::Uniform(0.5, 1.5),
            partial: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { clips: 1, quads: 1, plane: 1 }),
            Case::new("odd", Self { clips: 3, quads: 5, plane: 131 }),
            Case::new("typical", Self { clips: 2, quads: 8, plane: 16 * 161 }),
        ]
    }
}
