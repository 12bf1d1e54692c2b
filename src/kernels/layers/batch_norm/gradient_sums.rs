//! Σ d_output and Σ d_output · x̂ over the clips and the pooled plane.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/batch_norm/gradient_sums",
    pieces ["pair_sums"],
    params {
        /// Clips.
        clips: u32,
        /// Quads of channels.
        quads: u32,
        /// Positions of the pooled plane.
        plane: u32,
    },
    tensors {
        /// [clips, quads, plane, 4]
        d_output: read f32,
        /// [clips, quads, plane, 4]
        pooled: read f32,
        /// [3, quads, 4]: mean, 1 / √(variance + ε), scale
        moments: read f32,
        /// [quads, 2, 4]: Σ d_output, then Σ d_output · x̂
        partial: shares f32,
    },
}

impl Kernel for Params {
    // Every clip leaves a share.
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| Grid {
        shares: params.clips,
        ..Grid::of([params.quads, params.clips, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [clips, quads, plane] = [self.clips, self.quads, self.plane].map(|n| n as usize);
        let elements = clips * quads * plane * 4;
        Tensors { moments: 12 * quads, partial: quads * 8, ..Tensors::each(elements) }
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().pooled as f64;
        Cost { flops: 4.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (quads, plane) = (self.quads as usize, 4 * self.plane as usize);
        let (mean, inverse) = tensors.moments.split_at(4 * quads);
        for (quad, partial) in tensors.partial.chunks_exact_mut(8).enumerate() {
            let mut sums = [0.0; 8];
            let planes = tensors.d_output.chunks(plane).zip(tensors.pooled.chunks(plane));
            for (d, x) in planes.skip(quad).step_by(quads) {
                for (d, x) in d.chunks_exact(4).zip(x.chunks_exact(4)) {
                    for c in 0..4 {
                        sums[c] += d[c].double();
                        sums[4 + c] += (d[c] * (x[c] - mean[4 * quad + c])).double();
                    }
                }
            }
            partial.copy_from_slice(&sums.map(T::of));
            for c in 0..4 {
                partial[4 + c] *= inverse[4 * quad + c];
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors {
            d_output: Draw::NORMAL,
            pooled: Draw::Uniform(0.0, 2.0),
            moments: Draw::Uniform(0.5, 1.5),
            partial: Draw::Poison,
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
