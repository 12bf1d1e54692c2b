//! probabilities[e] = 1 / (1 + exp(−logits[e]))

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/sigmoid/forward",
    pieces ["sigmoid"],
    params {
        /// Clips × moods.
        elements: u32,
    },
    tensors {
        /// \[elements\]
        logits: read f32,
        /// \[elements\], to the bit those of `loss/sigmoid_bce`
        probabilities: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.elements, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors::each(self.elements as usize)
    }

    fn cost(&self) -> Cost {
        let elements = f64::from(self.elements);
        Cost { flops: 5.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let one = T::one();
        for (p, &x) in tensors.probabilities.iter_mut().zip(tensors.logits) {
            // As `loss/sigmoid_bce`, to the bit.
            let e = (-x.abs()).exp();
            *p = if x >= T::zero() { one } else { e } / (one + e);
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // From even odds to where a plain sigmoid has long been 0 or 1 in f32.
        let mut logits: Vec<f32> = (-20..=20).map(|i| i as f32 / 4.0).collect();
        logits.extend([-200.0, -40.0, -17.0, 17.0, 40.0, 200.0]);
        Tensors { logits: Draw::Among(logits), probabilities: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        let one = Self { elements: 1 };
        // exp of a GPU is good to a few units in the last place.
        vec![
            // One number alone is held to its own digits, of which f32 has none beyond e^−87.
            Case::new("minimal", one)
                .drawn(Tensors { logits: Draw::Uniform(-4.0, 4.0), ..one.draw() }),
            Case::new("odd", Self { elements: 67 * 7 }).within(1e-5),
            Case::new("typical", Self { elements: 32 * 10 }).within(1e-5),
        ]
    }
}
