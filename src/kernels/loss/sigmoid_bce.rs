//! Sigmoids, binary cross-entropy from the logits, and the gradient to them; see the shader for the
//! formulas. It is PyTorch's `binary_cross_entropy_with_logits`, the mean over batch × moods.

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "loss/sigmoid_bce",
    pieces ["sigmoid", "log_one_plus"],
    params {
        /// Clips.
        batch: u32,
        /// Moods.
        moods: u32,
    },
    tensors {
        /// [batch, moods]
        logits: read f32,
        /// [batch, moods], from 0 to 1: between them where clips are mixed or labels smoothed
        targets: read f32,
        /// [batch, moods]
        probabilities: write f32,
        /// \[batch\], each clip's mean over moods
        loss: write f32,
        /// [batch, moods], of the mean over the batch
        d_logits: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let elements = (self.batch * self.moods) as usize;
        Tensors { loss: self.batch as usize, ..Tensors::each(elements) }
    }

    fn cost(&self) -> Cost {
        let elements = f64::from(self.batch * self.moods);
        Cost { flops: 20.0 * elements, bytes: 16.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let moods = self.moods as usize;
        let (zero, one) = (T::zero(), T::one());
        let share = T::of(1.0 / (f64::from(self.moods) * f64::from(self.batch)));
        let clips = tensors.logits.chunks(moods).zip(tensors.targets.chunks(moods));
        let results = tensors
            .probabilities
            .chunks_mut(moods)
            .zip(tensors.loss.iter_mut())
            .zip(tensors.d_logits.chunks_mut(moods));
        for ((logits, targets), ((probabilities, loss), d_logits)) in clips.zip(results) {
            let mut sum = zero;
            let elements = logits.iter().zip(targets);
            for ((&x, &wanted), (p, d)) in elements.zip(probabilities.iter_mut().zip(d_logits)) {
                let e = (-x.abs()).exp();
                let (numerator, slope) = if x >= zero {
                    (one, (one - wanted) - e * wanted)
                } else {
                    (e, e * (one - wanted) - wanted)
                };
                *p = numerator / (one + e);
                *d = slope / (one + e) * share;
                sum += x.max(zero) - x * wanted + e.ln_1p();
            }
            *loss = sum / T::of(f64::from(self.moods));
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // From even odds to where a plain sigmoid has long been 0 or 1 in f32.
        let mut logits: Vec<f32> = (-20..=20).map(|i| i as f32 / 4.0).collect();
        logits.extend([-200.0, -40.0, -17.0, 17.0, 40.0, 200.0]);
        Tensors {
            logits: Draw::Among(logits),
            targets: Draw::Among(vec![0.0, 0.0, 0.05, 1.0, 0.3]),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let one = Self { batch: 1, moods: 1 };
        let certain = Self { batch: 5, moods: 3 };
        // exp and ln of a GPU are good to a few units in the last place.
        vec![
            // One number alone is held to its own digits, of which f32 has none beyond e^−87.
            Case::new("minimal", one)
                .drawn(Tensors { logits: Draw::Uniform(-4.0, 4.0), ..one.draw() }),
            Case::new("odd", Self { batch: 67, moods: 7 }).within(1e-5),
            Case::new("typical", Self { batch: 32, moods: 10 }).within(1e-5),
            // Losses of a few millionths.
            Case::new("certain and right", certain)
                .drawn(Tensors {
                    logits: Draw::Uniform(-14.0, -12.0),
                    targets: Draw::Among(vec![0.0]),
                    ..certain.draw()
                })
                .within(1e-5),
        ]
    }
}
