//! Shares of the gradient to the weights and the bias of a bank of filters.

use rayon::prelude::*;

use super::{Filters, GROUP, cases, exact};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

/// Taps that a thread sums.
const TAPS: u32 = 16;
/// Positions of a line that are walked at a time, at most.
const SEGMENT: u32 = 64;
/// Shares at most: workgroups enough for a GPU, shares few enough to add.
const SHARES: u32 = 16;

kernel! {
    "layers/front/weight_gradient",
    pieces ["front_input"],
    params {
        /// The filters.
        filters: Filters,
    },
    tensors {
        /// [clips, out_quads, frequencies, steps, 4]: to the convolution's output
        gradient: read f32,
        /// [batch, bands, steps], before standardisation
        input: read f32,
        /// [out_quads, taps + 1, 4]: the taps in the order of the parameter, then the bias
        partial: shares f32,
    },
}

impl Params {
    /// Taps of the whole kernel.
    pub fn taps(&self) -> u32 {
        self.filters.taps * self.filters.rows
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let Filters { clips, out_length, out_lines, taps, rows, .. } = params.filters;
        let items = clips * out_lines * cover(out_length, SEGMENT);
        let shares = cover(items, 64).min(SHARES);
        let quads = params.filters.quads() as u32;
        Grid {
            workgroups: [shares, quads, rows * cover(taps, TAPS)],
            constants: params.filters.constants(),
            shares,
        }
    })];

    fn lengths(&self) -> Tensors<usize> {
        let filters = &self.filters;
        Tensors {
            gradient: 4 * filters.activations(),
            input: filters.inputs(),
            partial: 4 * filters.quads() * (self.taps() as usize + 1),
        }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: self.filters.cost(1.0),
            bytes: 4.0 * (lengths.gradient + lengths.input + lengths.partial) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let filters = &self.filters;
        let ([frequencies, steps], quads) = (filters.plane(), filters.quads());
        let plane = frequencies * steps;
        let inputs = filters.clips(tensors.input);
        let padded = filters.taps.next_multiple_of(GROUP) as usize;
        let taps = self.taps() as usize;
        tensors.partial.par_chunks_mut(4 * (taps + 1)).enumerate().for_each(|(quad, partial)| {
            let mut sums = vec![0.0; partial.len()];
            for (clip, input) in inputs.iter().enumerate() {
                let gradient = &tensors.gradient[4 * (clip * quads + quad) * plane..][..4 * plane];
                for (df, dt, at) in filters.offsets() {
                    let (r, t) = (at / 4 / padded, at / 4 % padded);
                    let [rows, along] = [filters.rows, filters.taps].map(|n| n as usize);
                    let tap = if filters.vertical() { t * rows + r } else { r * along + t };
                    let sums = &mut sums[4 * tap..4 * tap + 4];
                    for (to, from, run) in filters.overlaps(df, dt) {
                        let d = gradient[4 * to..4 * (to + run)].chunks_exact(4);
                        for (d, x) in d.zip(&input[from..from + run]) {
                            for (sum, &d) in sums.iter_mut().zip(d) {
                                *sum += d.double() * x.double();
                            }
                        }
                    }
                }
                for d in gradient.chunks_exact(4) {
                    for (sum, &d) in sums[4 * taps..].iter_mut().zip(d) {
                        *sum += d.double();
                    }
                }
            }
            for (to, sum) in partial.iter_mut().zip(sums) {
                *to = T::of(sum);
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { gradient: Draw::NORMAL, input: exact(), partial: Draw::Poison }
    }

    fn cases() -> Vec<Case<Self>> {
        let mut cases = cases(|filters| Self { filters });
        let some = Filters::new(2, super::EXACT, 7, [5, 3], [9, 11]).of_batch(5, 2);
        cases.push(Case::new("some clips of a batch", Self { filters: some }));
        cases
    }
}
