//! Multiply-adds without memory: the arithmetic ceiling of an adapter.

use crate::kernels::verify::{Case, TOLERANCE};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "bench/multiply_add",
    params {
        /// Threads.
        threads: u32,
        /// Multiply-adds of each of a thread's numbers.
        rounds: u32,
        /// What each round multiplies by.
        factor: f32,
        /// What each round adds.
        term: f32,
    },
    tensors {
        /// \[threads\]
        input: read f32,
        /// [threads, 4]
        output: write f32,
    },
}

/// What a thread adds to its input to start its 8 vec4 with.
const STARTS: [[f64; 4]; 8] = [
    [0.0; 4],
    [0.125; 4],
    [0.25; 4],
    [0.375; 4],
    [0.5; 4],
    [0.625; 4],
    [0.75; 4],
    [0.875, 1.0, 1.125, 1.25],
];

impl Params {
    /// A factor just below one: the numbers stay as they are in size, whatever the rounds.
    pub fn new(threads: u32, rounds: u32) -> Self {
        Self { threads, rounds, factor: 0.999, term: 0.001 }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.threads, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors { input: self.threads as usize, output: 4 * self.threads as usize }
    }

    fn cost(&self) -> Cost {
        let threads = f64::from(self.threads);
        Cost { flops: 64.0 * threads * f64::from(self.rounds), bytes: 20.0 * threads }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [factor, term] = [self.factor, self.term].map(|x| T::of(f64::from(x)));
        for (output, &input) in tensors.output.chunks_mut(4).zip(tensors.input) {
            for (c, y) in output.iter_mut().enumerate() {
                *y = STARTS
                    .iter()
                    .map(|start| {
                        (0..self.rounds)
                            .fold(input + T::of(start[c]), |x, _| x.mul_add(factor, term))
                    })
                    .sum();
            }
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1)),
            Case::new("odd", Self::new(67, 13)),
            // Each round adds its own rounding error to what came before.
            Case::new("typical", Self::new(1024, 64)).within(8.0 * TOLERANCE),
        ]
    }
}
