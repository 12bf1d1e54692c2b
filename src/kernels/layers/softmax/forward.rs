//! probabilities[n, m] = exp(logits[n, m]) / Σ_k exp(logits[n, k])

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/softmax/forward",
    pieces ["softmax"],
    params {
        /// Clips.
        batch: u32,
        /// Moods.
        moods: u32,
    },
    tensors {
        /// [batch, moods]
        logits: read f32,
        /// [batch, moods], to the bit those of `loss/softmax_bce`
        probabilities: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors::each((self.batch * self.moods) as usize)
    }

    fn cost(&self) -> Cost {
        let elements = f64::from(self.batch * self.moods);
        Cost { flops: 6.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let moods = self.moods as usize;
        let clips = tensors.logits.chunks(moods).zip(tensors.probabilities.chunks_mut(moods));
        for (logits, probabilities) in clips {
            softmax(logits, probabilities);
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let far_apart = Self { batch: 131, moods: 3 };
        // exp of a GPU is good to a few units in the last place.
        vec![
            Case::new("minimal", Self { batch: 1, moods: 2 }),
            Case::new("odd", Self { batch: 67, moods: 7 }).within(1e-5),
            Case::new("typical", Self { batch: 32, moods: 10 }).within(1e-5),
            // Logits that overflow unless their largest is taken away.
            Case::new("far apart", far_apart).within(1e-5).drawn(Tensors {
                logits: Draw::Among(vec![-100.0, 0.0, 99.0, 100.0]),
                ..far_apart.draw()
            }),
        ]
    }
}

/// The softmax of one clip's logits. The largest is taken away, so that f32 does not overflow.
pub(crate) fn softmax<T: Real>(logits: &[T], probabilities: &mut [T]) {
    let top = logits.iter().copied().fold(T::neg_infinity(), T::max);
    let total: T = logits.iter().map(|&x| (x - top).exp()).sum();
    for (p, &x) in probabilities.iter_mut().zip(logits) {
        *p = (x - top).exp() / total;
    }
}
