//! The recurrence for the walk steps [begin, end): with t' the step walked before t,
//!     i, f, o = σ(gates[d, n, t] + weight_hh[d] · h[n, t']), g = tanh(…), in place of the gates
//!     c[n, t] = f · c[n, t'] + i · g
//!     h[n, t] = o · tanh(c[n, t])

use rayon::prelude::*;

use crate::kernels::layers::lstm::{MAX_UNITS, add_scaled, threads, visited, walk_of_eights, wide};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Facts, Grid, Kernel, Real, Schedule, cover, kernel, sigmoid};

kernel! {
    "layers/lstm/recurrence_forward",
    pieces ["lstm_advance", "hyperbolic_tangent"],
    params {
        /// Clips.
        batch: u32,
        /// Steps of a sequence.
        steps: u32,
        /// At most [`MAX_UNITS`].
        units: u32,
        /// The first walk step of this launch; what came before is read from cells and hidden.
        begin: u32,
        /// Its last walk step + 1.
        end: u32,
    },
    tensors {
        /// [units, 2, units, 4]: weight_hh, packed
        packed_hh: read f32,
        /// [2, batch, steps, units, 4]: sums of the inputs, then the activated gates
        gates: update f32,
        /// [2, batch, steps, units]
        cells: update f32,
        /// [batch, steps, 2, units]
        hidden: update f32,
    },
}

impl Params {
    /// One direction of one clip.
    fn walk<T: Real>(
        &self,
        d: usize,
        packed_hh: &[T],
        gates: &mut [T],
        cells: &mut [T],
        hidden: &mut [T],
    ) {
        let (steps, units) = (self.steps as usize, self.units as usize);
        for s in self.begin as usize..self.end as usize {
            let t = visited(d, s, steps);
            let gates = &mut gates[t * 4 * units..][..4 * units];
            let mut before = None;
            if s > 0 {
                let t = visited(d, s - 1, steps);
                let h = &hidden[(t * 2 + d) * units..][..units];
                for (&h, weights) in h.iter().zip(packed_hh.chunks(8 * units)) {
                    add_scaled(gates, h, &weights[d * 4 * units..][..4 * units]);
                }
                before = Some(t * units);
            }
            for (u, quad) in gates.chunks_mut(4).enumerate() {
                let [i, f, o] = [0, 1, 3].map(|gate| sigmoid(quad[gate]));
                let g = quad[2].tanh();
                let c = i * g + before.map_or(T::zero(), |before| f * cells[before + u]);
                quad.copy_from_slice(&[i, f, g, o]);
                cells[t * units + u] = c;
                hidden[(t * 2 + d) * units + u] = o * c.tanh();
            }
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/lstm/recurrence_forward@eights", "layers/lstm/recurrence_forward@eights",
                pieces ["lstm_advance", "hyperbolic_tangent", "four_products"],
                Facts::hands_round_eights, |_| true
            ),
            grid: |params| walk_of_eights(params.batch, params.units),
        },
        Schedule {
            // On software, idle threads take as long as others, and memory is no way off.
            shader: kernel!(
                @shader "layers/lstm/recurrence_forward@wide", "layers/lstm/recurrence_forward@wide",
                pieces ["hyperbolic_tangent"],
                |_| true, |facts| !facts.software
            ),
            grid: |params| wide(params.batch, params.units),
        },
        Schedule::general(|params| Grid {
            constants: vec![("THREADS", f64::from(threads(params.units.div_ceil(2))))],
            ..Grid::of([cover(params.batch, 8), 2, 1])
        }),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, steps, units] = [self.batch, self.steps, self.units].map(|n| n as usize);
        assert!(self.units <= MAX_UNITS, "{units} units are more than {MAX_UNITS}");
        Tensors {
            packed_hh: 8 * units * units,
            gates: 8 * batch * steps * units,
            cells: 2 * batch * steps * units,
            hidden: 2 * batch * steps * units,
        }
    }

    fn cost(&self) -> Cost {
        let [batch, units] = [self.batch, self.units].map(f64::from);
        let steps = f64::from(self.end - self.begin);
        let products = f64::from(self.end - self.begin.max(1));
        // Besides the product: five activations of four operations, and four to combine them.
        Cost {
            flops: 2.0 * batch * units * (8.0 * products * units + 24.0 * steps),
            bytes: 4.0 * 2.0 * units * (4.0 * units + 10.0 * batch * steps),
        }
    }

    fn serial_steps(&self) -> u32 {
        self.end - self.begin
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { packed_hh, gates, cells, hidden } = tensors;
        let clip = self.steps as usize * self.units as usize;
        let (gates_up, gates_down) = gates.split_at_mut(gates.len() / 2);
        let (cells_up, cells_down) = cells.split_at_mut(cells.len() / 2);
        let up = gates_up.par_chunks_mut(4 * clip).zip(cells_up.par_chunks_mut(clip));
        let down = gates_down.par_chunks_mut(4 * clip).zip(cells_down.par_chunks_mut(clip));
        hidden.par_chunks_mut(2 * clip).zip(up.zip(down)).for_each(|(hidden, (up, down))| {
            self.walk(0, packed_hh, up.0, up.1, hidden);
            self.walk(1, packed_hh, down.0, down.1, hidden);
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        // Sums of about unit size, as in a network.
        let deviation = f64::from(self.units).sqrt().recip();
        Tensors {
            packed_hh: Draw::Normal(0.0, deviation),
            hidden: Draw::Uniform(-1.0, 1.0),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let walk = |batch, steps, units| Self { batch, steps, units, begin: 0, end: steps };
        vec![
            Case::new("minimal", walk(1, 1, 1)),
            Case::new("odd", walk(11, 7, 13)),
            Case::new("most units", walk(1, 3, 256)),
            Case::new("middle of a walk", Self { begin: 3, end: 6, ..walk(9, 10, 37) }),
            Case::new("typical", walk(8, 20, 128)),
        ]
    }
}
