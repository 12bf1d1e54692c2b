//! Class weights: adds to a loss and its gradient what a weight on each mood's positive term changes;
//! see the shader for the formulas. With the sigmoid it is PyTorch's `pos_weight`.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel, sigmoid};

kernel! {
    "loss/positive_weights",
    pieces ["softmax", "sigmoid", "log_one_plus"],
    params {
        /// Clips.
        batch: u32,
        /// Moods.
        moods: u32,
        /// Whether the probabilities are a softmax's (1); else each is a sigmoid's (0).
        softmax: u32,
    },
    tensors {
        /// [batch, moods]
        logits: read f32,
        /// [batch, moods], from 0 to 1: between them where clips are mixed or labels smoothed
        targets: read f32,
        /// \[moods\], of the positive term
        weights: read f32,
        /// \[batch\], each clip's mean over moods
        loss: update f32,
        /// [batch, moods], of the mean over the batch
        d_logits: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, moods] = [self.batch, self.moods].map(|n| n as usize);
        Tensors { weights: moods, loss: batch, ..Tensors::each(batch * moods) }
    }

    fn cost(&self) -> Cost {
        let elements = f64::from(self.batch * self.moods);
        Cost { flops: 30.0 * elements, bytes: 16.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let moods = self.moods as usize;
        // As f32, like the shader's and those of `softmax_bce`.
        let (lowest, highest) = (T::of(f64::from(1e-7_f32)), T::of(f64::from(1.0 - 1e-7_f32)));
        let [count, batch] = [self.moods, self.batch].map(|n| T::of(f64::from(n)));
        let (zero, one) = (T::zero(), T::one());
        let clips = tensors.logits.chunks(moods).zip(tensors.targets.chunks(moods));
        let results = tensors.loss.iter_mut().zip(tensors.d_logits.chunks_mut(moods));
        for ((logits, targets), (loss, d_logits)) in clips.zip(results) {
            let v = |m: usize| (tensors.weights[m] - one) * targets[m] / count;
            if self.softmax == 0 {
                for (m, (&x, d)) in logits.iter().zip(d_logits).enumerate() {
                    *loss += v(m) * ((-x).max(zero) + (-x.abs()).exp().ln_1p());
                    *d -= v(m) * sigmoid(-x) / batch;
                }
                continue;
            }
            let top = logits.iter().copied().fold(T::neg_infinity(), T::max);
            let total: T = logits.iter().map(|&x| (x - top).exp()).sum();
            let p = |m: usize| (logits[m] - top).exp() / total;
            let u = |m: usize| if p(m) > lowest && p(m) < highest { v(m) } else { zero };
            let pull: T = (0..logits.len()).map(u).sum();
            for (m, d) in d_logits.iter_mut().enumerate() {
                *loss -= v(m) * p(m).max(lowest).min(highest).ln();
                *d += (p(m) * pull - u(m)) / batch;
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // Now and then one that drives a softmax past either clip, or whose exponential is past f32;
        // nothing just short of the clips.
        let mut logits: Vec<f32> = (-20..=20).map(|i| i as f32 / 10.0).collect();
        logits.extend([-120.0, -22.0, 22.0, 120.0]);
        Tensors {
            logits: Draw::Among(logits),
            targets: Draw::Among(vec![0.0, 1.0, 0.3]),
            weights: Draw::Uniform(0.25, 9.0),
            loss: Draw::Uniform(0.0, 1.0),
            d_logits: Draw::Uniform(-0.01, 0.01),
        }
    }

    fn cases() -> Vec<Case<Self>> {
        // exp and ln of a GPU are good to a few units in the last place.
        vec![
            Case::new("minimal", Self { batch: 1, moods: 1, softmax: 0 }),
            Case::new("odd", Self { batch: 67, moods: 7, softmax: 1 }).within(1e-5),
            Case::new("odd, sigmoid", Self { batch: 67, moods: 7, softmax: 0 }).within(1e-5),
            Case::new("typical", Self { batch: 32, moods: 10, softmax: 1 }).within(1e-5),
            Case::new("typical, sigmoid", Self { batch: 32, moods: 10, softmax: 0 }).within(1e-5),
        ]
    }
}
