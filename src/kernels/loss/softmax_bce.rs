//! Softmax, binary cross-entropy and the gradient to the logits; see the shader for the formulas.
//!
//! The Jacobian is the true one of the softmax: the report's network ends in a softmax and is
//! trained with Keras' `binary_crossentropy`, which clips p to [1e−7, 1 − 1e−7].

use crate::kernels::layers::softmax::forward::softmax;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "loss/softmax_bce",
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

/// Probabilities are clipped to [CLIP, 1 − CLIP] in the loss, as Keras does.
pub const CLIP: f64 = 1e-7;

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.batch, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let elements = (self.batch * self.moods) as usize;
        Tensors { loss: self.batch as usize, ..Tensors::each(elements) }
    }

    fn cost(&self) -> Cost {
        let elements = f64::from(self.batch * self.moods);
        Cost { flops: 25.0 * elements, bytes: 16.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let moods = self.moods as usize;
        // As f32, like the shader's: in f64 the upper bound would lie elsewhere.
        let (lowest, highest) = (T::of(f64::from(1e-7_f32)), T::of(f64::from(1.0 - 1e-7_f32)));
        let (one, count) = (T::one(), T::of(f64::from(self.moods)));
        let slope = |p: T, wanted: T| {
            if p <= lowest || p >= highest {
                T::zero()
            } else {
                (p - wanted) / (p * (one - p) * count)
            }
        };
        let clips = tensors.logits.chunks(moods).zip(tensors.targets.chunks(moods));
        let results = tensors
            .probabilities
            .chunks_mut(moods)
            .zip(tensors.loss.iter_mut())
            .zip(tensors.d_logits.chunks_mut(moods));
        for ((logits, targets), ((probabilities, loss), d_logits)) in clips.zip(results) {
            softmax(logits, probabilities);
            let mut sum = T::zero();
            let mut dot = T::zero();
            for (&p, &wanted) in probabilities.iter().zip(targets) {
                let c = p.max(lowest).min(highest);
                sum -= wanted * c.ln() + (one - wanted) * (one - c).ln();
                dot += p * slope(p, wanted);
            }
            *loss = sum / count;
            for ((d, &p), &wanted) in d_logits.iter_mut().zip(&*probabilities).zip(targets) {
                *d = p * (slope(p, wanted) - dot) / T::of(f64::from(self.batch));
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // Now and then one that drives probabilities past either clip; nothing in between, where
        // 1 − p keeps few digits in f32.
        let mut logits: Vec<f32> = (-20..=20).map(|i| i as f32 / 10.0).collect();
        logits.extend([-22.0, 22.0]);
        Tensors {
            logits: Draw::Among(logits),
            targets: Draw::Among(vec![0.0, 0.0, 0.05, 1.0, 0.3]),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let minimal = Self { batch: 1, moods: 2 };
        let far_apart = Self { batch: 131, moods: 3 };
        // exp and ln of a GPU are good to a few units in the last place, and 1 − p cancels.
        vec![
            // Not past a clip, where the whole loss is the rounding of 1 − 1e−7.
            Case::new("minimal", minimal)
                .drawn(Tensors { logits: Draw::Uniform(-2.0, 2.0), ..minimal.draw() }),
            Case::new("odd", Self { batch: 67, moods: 7 }).within(1e-5),
            Case::new("typical", Self { batch: 32, moods: 10 }).within(1e-5),
            // Logits that overflow unless their largest is taken away; many clips, since only one
            // whose largest logits are equal has a gradient.
            Case::new("far apart", far_apart).within(1e-5).drawn(Tensors {
                logits: Draw::Among(vec![-100.0, 0.0, 100.0]),
                ..far_apart.draw()
            }),
        ]
    }
}
