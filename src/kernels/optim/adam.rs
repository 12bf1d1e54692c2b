//! Adam over all parameters at once, in PyTorch's form; catches gradients that are not finite.

use crate::kernels::layers::dropout::CONTROL_WORDS;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel, rows};

kernel! {
    "optim/adam",
    params {
        /// Groups of four parameters.
        quads: u32,
        /// β1, the decay of the first moment.
        beta1: f32,
        /// β2, the decay of the second moment.
        beta2: f32,
        /// 1 − β1, rounded once: in f32, 1 − 0.999 is off by 1.3e-5.
        rest1: f32,
        /// 1 − β2
        rest2: f32,
        /// ε, added to the root of the second moment.
        epsilon: f32,
        /// Share of a weight that is taken away, times the learning rate.
        weight_decay: f32,
    },
    tensors {
        /// \[CONTROL_WORDS\], see [`control()`]
        control: read u32,
        /// [quads, 4]
        gradient: read f32,
        /// [quads, 4]: the first moment
        exp_avg: update f32,
        /// [quads, 4]: the second moment
        exp_avg_sq: update f32,
        /// [quads, 4]
        parameter: update f32,
        /// \[1\]: the number of the first update whose gradient was not finite, if any
        status: update u32,
    },
}

impl Params {
    /// Over `quads` × 4 parameters.
    pub fn new(quads: u32, betas: [f64; 2], epsilon: f64, weight_decay: f64) -> Self {
        let [beta1, beta2] = betas.map(|beta| beta as f32);
        let [rest1, rest2] = betas.map(|beta| (1.0 - beta) as f32);
        let [epsilon, weight_decay] = [epsilon, weight_decay].map(|x| x as f32);
        Self { quads, beta1, beta2, rest1, rest2, epsilon, weight_decay }
    }
}

/// The control words of update `update` (counted from 0), after which the newest numbers have the weight
/// `averaging` in [`super::average`].
///
/// The bias corrections are computed in f64: in f32, 1 − 0.999^t loses three digits.
pub fn control(
    update: u64,
    seed: u64,
    learning_rate: f64,
    betas: [f64; 2],
    averaging: f64,
) -> [u32; CONTROL_WORDS] {
    let t = (update + 1) as f64;
    let step = learning_rate / (1.0 - betas[0].powf(t));
    let correction = 1.0 / (1.0 - betas[1].powf(t)).sqrt();
    let folded = (seed ^ (seed >> 32)) as u32;
    let [step, correction, rate, averaging] =
        [step, correction, learning_rate, averaging].map(|x| (x as f32).to_bits());
    [update as u32, folded, step, correction, rate, averaging]
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of(rows(params.quads, 64)))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors { control: CONTROL_WORDS, status: 1, ..Tensors::each(4 * self.quads as usize) }
    }

    fn cost(&self) -> Cost {
        let elements = 4.0 * f64::from(self.quads);
        Cost { flops: 12.0 * elements, bytes: 28.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let number = |x: f32| T::of(f64::from(x));
        let [beta1, beta2] = [self.beta1, self.beta2].map(number);
        let [rest1, rest2] = [self.rest1, self.rest2].map(number);
        let epsilon = number(self.epsilon);
        let step = number(f32::from_bits(tensors.control[2]));
        let correction = number(f32::from_bits(tensors.control[3]));
        let kept =
            T::one() - number(f32::from_bits(tensors.control[4])) * number(self.weight_decay);
        let moments = tensors.exp_avg.iter_mut().zip(tensors.exp_avg_sq.iter_mut());
        for ((w, &g), (m, v)) in tensors.parameter.iter_mut().zip(tensors.gradient).zip(moments) {
            if !g.is_finite() {
                tensors.status[0] = tensors.status[0].min(tensors.control[0]);
            }
            *m = beta1 * *m + rest1 * g;
            *v = beta2 * *v + rest2 * g * g;
            *w = *w * kept - step * *m / (v.sqrt() * correction + epsilon);
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // Any update and seed, a step and a rate between 1e-5 and 1e-2, a correction between 1 and 32.
        let floats = |low: f32, high: f32| (low.to_bits(), high.to_bits());
        let control = vec![
            (0, 1 << 20),
            (0, u32::MAX),
            floats(1e-5, 1e-2),
            floats(1.0, 32.0),
            floats(1e-5, 1e-2),
            floats(0.0, 1.0),
        ];
        Tensors {
            control: Draw::WordRanges(control),
            exp_avg_sq: Draw::Uniform(0.01, 2.0),
            status: Draw::Words(vec![u32::MAX]),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let adam = |quads| Self::new(quads, [0.9, 0.999], 1e-8, 0.0);
        // What becomes of numbers that are not finite is not compared; that they are noticed is.
        let among_others = |name, bad| {
            // So few that no quad holds nothing else.
            let mut gradient: Vec<f32> = (0..40).map(|i| 0.1 * i as f32 - 1.0).collect();
            gradient.extend([1e18, bad]);
            let gradient = Draw::Among(gradient);
            Case::new(name, adam(67)).drawn(Tensors { gradient, ..adam(67).draw() })
        };
        vec![
            Case::new("minimal", adam(1)),
            Case::new("odd", adam(333)),
            Case::new("typical", adam(140_000)),
            Case::new("weights decay", Self::new(333, [0.9, 0.999], 1e-8, 5.0)),
            among_others("not a number", f32::NAN),
            among_others("infinite", f32::INFINITY),
            among_others("minus infinite", f32::NEG_INFINITY),
        ]
    }
}
