//! Gradient through the recurrence for the walk steps [begin, end), the last one first: with t"
//! the step walked after t and t' the one before,
//!     dh = d_hidden[n, t] + weight_hh[d]ᵀ · d_gates[d, n, t"]
//!     dc = dh · o · (1 − tanh²(c[n, t])) + f[n, t"] · dc[n, t"]
//!     d_gates i = dc · g · i (1 − i)            d_gates f = dc · c[n, t'] · f (1 − f)
//!     d_gates g = dc · i · (1 − g²)             d_gates o = dh · tanh(c) · o (1 − o)
//! and what has vanished, below 2^-80, is 0: the shader's piece says why.

use rayon::prelude::*;

use crate::kernels::layers::lstm::{MAX_UNITS, add_scaled, threads, visited, walk_of_eights, wide};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/recurrence_backward",
    pieces ["lstm_gate_pairs", "lstm_retreat", "hyperbolic_tangent", "unless_vanished"],
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// At most [`MAX_UNITS`].
        units: u32,
        /// The last walk step of this launch.
        begin: u32,
        /// Its first walk step + 1; what came after is read from carry and d_gates.
        end: u32,
    },
    tensors {
        /// [2, 4, units, units]
        weight_hh: read f32,
        /// [2, batch, steps, units, 4]: the activated gates
        gates: read f32,
        /// [2, batch, steps, units]
        cells: read f32,
        /// [batch, steps, 2, units]
        d_hidden: read f32,
        /// [2, batch, units]: f · dc of the step computed last
        carry: update f32,
        /// [2, batch, steps, units, 4]: the gradient to the gates before activation
        d_gates: update f32,
    },
}

impl Params {
    /// One direction of one clip; `carry` and `d_gates` are its own part, the rest is whole.
    fn walk<T: Real>(
        &self,
        d: usize,
        n: usize,
        tensors: (&[T], &[T], &[T], &[T]),
        carry: &mut [T],
        d_gates: &mut [T],
    ) {
        let (weight_hh, gates, cells, d_hidden) = tensors;
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        let row = |t| (d * batch + n) * steps + t;
        let weight_hh = &weight_hh[d * 4 * units * units..][..4 * units * units];
        let one = T::one();
        let mut dh = vec![T::zero(); units];
        for s in (self.begin as usize..self.end as usize).rev() {
            let t = visited(d, s, steps);
            dh.copy_from_slice(&d_hidden[((n * steps + t) * 2 + d) * units..][..units]);
            if s + 1 < steps {
                let after = &d_gates[visited(d, s + 1, steps) * 4 * units..][..4 * units];
                for (r, weights) in weight_hh.chunks(units).enumerate() {
                    add_scaled(&mut dh, after[r % units * 4 + r / units], weights);
                }
            } else {
                carry.fill(T::zero());
            }
            let quads = gates[row(t) * 4 * units..][..4 * units].chunks(4);
            let d_quads = d_gates[t * 4 * units..][..4 * units].chunks_mut(4);
            for (u, (quad, d_quad)) in quads.zip(d_quads).enumerate() {
                let [i, f, g, o] = [quad[0], quad[1], quad[2], quad[3]];
                let c = cells[row(t) * units + u].tanh();
                let c_before = match s {
                    0 => T::zero(),
                    s => cells[row(visited(d, s - 1, steps)) * units + u],
                };
                let dc = dh[u] * o * (one - c * c) + carry[u];
                carry[u] = unless_vanished(f * dc);
                d_quad.copy_from_slice(&[
                    unless_vanished(dc * g * i * (one - i)),
                    unless_vanished(dc * c_before * f * (one - f)),
                    unless_vanished(dc * i * (one - g * g)),
                    unless_vanished(dh[u] * c * o * (one - o)),
                ]);
            }
        }
    }
}

fn unless_vanished<T: Real>(gradient: T) -> T {
    if gradient.abs() < T::of(2f64.powi(-80)) { T::zero() } else { gradient }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/lstm/recurrence_backward@eights", "layers/lstm/recurrence_backward@eights",
                pieces ["lstm_retreat", "hyperbolic_tangent", "unless_vanished", "four_products"],
                Facts::hands_round_eights, |_| true
            ),
            grid: |params| walk_of_eights(params.batch, params.units.div_ceil(4)),
        },
        Schedule {
            // On software, idle threads take as long as others, and memory is no way off.
            shader: kernel!(
                @shader "layers/lstm/recurrence_backward@wide", "layers/lstm/recurrence_backward@wide",
                pieces ["lstm_retreat", "hyperbolic_tangent", "unless_vanished"],
                |_| true, |facts| !facts.software
            ),
            grid: |params| wide(params.batch, params.units),
        },
        Schedule::general(|params| Grid {
            constants: vec![("THREADS", f64::from(threads(params.units.div_ceil(8))))],
            ..Grid::of([cover(params.batch, 8), 2, 1])
        }),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        assert!(self.units <= MAX_UNITS, "{units} units are more than {MAX_UNITS}");
        Tensors {
            weight_hh: 8 * units * units,
            gates: 8 * batch * steps * units,
            cells: 2 * batch * steps * units,
            d_hidden: 2 * batch * steps * units,
            carry: 2 * batch * units,
            d_gates: 8 * batch * steps * units,
        }
    }

    fn cost(&self) -> Cost {
        let [batch, units] = [self.batch, self.units].map(f64::from);
        let steps = f64::from(self.end - self.begin);
        let products = f64::from(self.end.min(self.steps.saturating_sub(1)) - self.begin);
        // Besides the product: one activation, and the gradients of the gates.
        Cost {
            flops: 2.0 * batch * units * (8.0 * products * units + 28.0 * steps),
            bytes: 4.0 * 2.0 * units * (4.0 * units + batch * (10.0 * steps + 2.0)),
        }
    }

    fn serial_steps(&self) -> u32 {
        self.end - self.begin
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { weight_hh, gates, cells, d_hidden, carry, d_gates } = tensors;
        let (batch, units) = (self.batch as usize, self.units as usize);
        let walks = d_gates.par_chunks_mut(4 * self.steps as usize * units);
        walks.zip(carry.par_chunks_mut(units)).enumerate().for_each(|(index, (d_gates, carry))| {
            let (d, n) = (index / batch, index % batch);
            self.walk(d, n, (weight_hh, gates, cells, d_hidden), carry, d_gates);
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        let deviation = f64::from(self.units).sqrt().recip();
        Tensors {
            weight_hh: Draw::Normal(0.0, deviation),
            // Where activated gates lie.
            gates: Draw::Uniform(0.05, 0.95),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let walk = |batch, steps, units| Self { batch, steps, units, begin: 0, end: steps };
        let mut cases = vec![
            Case::new("minimal", walk(1, 1, 1)),
            Case::new("odd", walk(11, 7, 13)),
            Case::new("most units", walk(1, 3, 256)),
            Case::new("middle of a walk", Self { begin: 3, end: 6, ..walk(9, 10, 37) }),
            Case::new("typical", walk(8, 20, 128)),
            Case::new("vanishing", walk(3, 9, 21))
                .drawn(Tensors { d_hidden: Draw::Normal(0.0, 1e-23), ..walk(3, 9, 21).draw() }),
        ];
        // The last unit is each of a thread's eight.
        cases.extend((0..8).map(|share| Case::new("units in part", walk(1, 2, 8 * share + 5))));
        cases
    }
}
