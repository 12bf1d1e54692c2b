//! The gradient to the convolution of a bank of filters, through the maximum, batch norm and ReLU.

use super::{Bank, Filters, cases, exact, exact_weights};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/front/backward",
    pieces ["front_convolution", "front_taps_read", "front_input", "quads"],
    params {
        /// What is computed again.
        bank: Bank,
    },
    tensors {
        /// [batch, bands, steps], before standardisation
        input: read f32,
        /// See [`packing`](super::packing)
        weight: uniform f32,
        /// \[out_channels\]
        bias: read f32,
        /// [batch, out_quads, steps, 4]
        d_output: read f32,
        /// [batch, out_quads, steps]: the kept frequency, a byte a channel
        code: read u32,
        /// [3, quads, 4]: mean, 1 / √(variance + ε), scale
        moments: read f32,
        /// [2, quads, 4]: Σ d_output / N, then Σ d_output · x̂ / N
        terms: read f32,
        /// [clips, out_quads, frequencies, steps, 4]
        gradient: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/front/backward@handed_round", "layers/front/backward",
                pieces [
                    "front_convolution", "front_taps_handed_round", "four_lanes", "front_input",
                    "quads"
                ],
                Facts::hands_round, |_| true
            ),
            grid: |params| params.bank.grid(),
        },
        Schedule::general(|params| params.bank.grid()),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let filters = &self.bank.filters;
        let quads = filters.quads();
        Tensors {
            input: filters.inputs(),
            weight: quads * filters.quad_weights(),
            bias: filters.out_channels as usize,
            d_output: 4 * filters.pooled(),
            code: filters.pooled(),
            moments: 12 * quads,
            terms: 8 * quads,
            gradient: 4 * filters.activations(),
        }
    }

    fn cost(&self) -> Cost {
        self.bank.cost(4 * self.bank.filters.activations())
    }

    fn uniform_start(&self) -> usize {
        self.bank.weights_start()
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { input, weight, bias, d_output, code, moments, terms, gradient } = tensors;
        let filters = &self.bank.filters;
        let ([frequencies, steps], quads) = (filters.plane(), filters.quads());
        let size = 4 * frequencies * steps;
        self.bank.for_each_quad(
            [input, weight, bias],
            (gradient, size),
            |clip, quad, activation, gradient| {
                let at = ((filters.first_clip as usize + clip) * quads + quad) * steps;
                for (c, plane) in activation.chunks_exact(frequencies * steps).enumerate() {
                    let entry = |values: &[T], row: usize| values[4 * (row * quads + quad) + c];
                    let [mean, inverse, scale] = [0, 1, 2].map(|row| entry(moments, row));
                    let [constant, slope] = [0, 1].map(|row| entry(terms, row));
                    for (place, &a) in plane.iter().enumerate() {
                        let (f, t) = (place / steps, place % steps);
                        let kept = code[at + t] >> (8 * c) & 0xff == f as u32;
                        let dy = if kept { d_output[4 * (at + t) + c] } else { T::zero() };
                        let normal = (a - mean) * inverse;
                        gradient[4 * place + c] = match a > T::zero() {
                            true => scale * (dy - constant - normal * slope),
                            false => T::zero(),
                        };
                    }
                }
            },
        );
    }

    fn draw(&self) -> Tensors<Draw> {
        let [frequencies, _] = self.bank.filters.plane();
        Tensors {
            input: exact(),
            weight: exact_weights(&self.bank.filters),
            bias: exact(),
            code: Draw::BytesBelow(frequencies.min(255) as u8),
            moments: Draw::Uniform(0.5, 1.5),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let launch = |filters| Self { bank: Bank::launches(filters).last().expect("a launch") };
        let mut cases = cases(launch);
        let many = Filters::new(1, super::EXACT, 77, [38, 7], [45, 11]);
        cases.push(Case::new("last of several launches", launch(many)));
        let some = Filters::new(2, super::EXACT, 7, [5, 3], [9, 11]).of_batch(5, 2);
        cases.push(Case::new("some clips of a batch", launch(some)));
        cases
    }
}
