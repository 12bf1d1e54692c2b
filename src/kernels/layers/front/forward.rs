//! A bank of filters up to its batch norm: convolution, ReLU and the maximum over frequency in one pass.

use super::{Bank, Filters, cases, exact, exact_weights, of_quad};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{ALIGNMENT, Cost, Facts, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/front/forward",
    pieces ["front_convolution", "front_taps_read", "front_input", "quads", "activation_sums"],
    params {
        /// What is computed.
        bank: Bank,
    },
    tensors {
        /// [clips, bands, steps], before standardisation
        input: read f32,
        /// See [`packing`](super::packing)
        weight: uniform f32,
        /// \[out_channels\]
        bias: read f32,
        /// \[out_channels\], of the batch norm that follows
        gamma: read f32,
        /// \[out_channels\], near the mean of the activation: the running mean
        pivot: read f32,
        /// [clips, out_quads, steps, 4]
        pooled: update f32,
        /// [clips, out_quads, steps]: the kept frequency, a byte a channel
        code: update u32,
        /// [out_quads, 2, 4]: Σ (activation − pivot), Σ (activation − pivot)²
        partial: shares f32,
    },
}

impl Params {
    /// Every workgroup leaves a share, and there are so many that those of another part of the batch
    /// may follow in the same tensor.
    fn grid(&self) -> Grid {
        let grid = self.bank.grid();
        let share = 8 * self.bank.filters.quads();
        let aligned =
            (1..=ALIGNMENT as u32).find(|&n| (n as usize * share).is_multiple_of(ALIGNMENT));
        let [groups, quads, _] = grid.workgroups;
        let shares = groups.next_multiple_of(aligned.unwrap_or(1));
        Grid { shares, workgroups: [shares, quads, 1], ..grid }
    }
}

/// What the reference keeps of a quad of a clip: values, codes, sums.
struct Kept<T> {
    pooled: Vec<T>,
    code: Vec<u32>,
    sums: [f64; 8],
}

impl<T: Real> Kept<T> {
    fn of(filters: &Filters, activation: &[T], gamma: [T; 4], pivot: [T; 4]) -> Self {
        let [frequencies, steps] = filters.plane();
        let mut pooled = vec![T::zero(); 4 * steps];
        let (mut code, mut sums) = (vec![0; steps], [0.0; 8]);
        for (c, plane) in activation.chunks_exact(frequencies * steps).enumerate() {
            let sign = if gamma[c] < T::zero() { -T::one() } else { T::one() };
            for t in 0..steps {
                let mut best = (T::neg_infinity(), 0);
                for (f, &a) in plane[t..].iter().step_by(steps).enumerate() {
                    if a * sign > best.0 {
                        best = (a * sign, f as u32);
                    }
                }
                pooled[4 * t + c] = best.0 * sign;
                code[t] |= best.1 << (8 * c);
            }
            for &a in plane {
                let distance = (a - pivot[c]).double();
                sums[c] += distance;
                sums[4 + c] += distance * distance;
            }
        }
        Self { pooled, code, sums }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[
        Schedule {
            shader: kernel!(
                @shader "layers/front/forward@handed_round", "layers/front/forward",
                pieces [
                    "front_convolution", "front_taps_handed_round", "four_lanes", "front_input",
                    "quads", "activation_sums"
                ],
                Facts::hands_round, |_| true
            ),
            grid: Self::grid,
        },
        Schedule::general(Self::grid),
    ];

    fn lengths(&self) -> Tensors<usize> {
        let filters = &self.bank.filters;
        Tensors {
            input: filters.inputs(),
            weight: filters.quads() * filters.quad_weights(),
            pooled: 4 * filters.pooled(),
            code: filters.pooled(),
            partial: 8 * filters.quads(),
            ..Tensors::each(filters.out_channels as usize)
        }
    }

    fn cost(&self) -> Cost {
        self.bank.cost(5 * self.bank.filters.pooled())
    }

    fn uniform_start(&self) -> usize {
        self.bank.weights_start()
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { input, weight, bias, gamma, pivot, pooled, code, partial } = tensors;
        let filters = &self.bank.filters;
        let mut kept: Vec<Option<Kept<T>>> = Vec::new();
        kept.resize_with(filters.clips as usize * filters.quads(), || None);
        self.bank.for_each_quad(
            [input, weight, bias],
            (&mut kept, 1),
            |_, quad, activation, kept| {
                let (gamma, pivot) = (of_quad(gamma, quad), of_quad(pivot, quad));
                kept[0] = Some(Kept::of(filters, &activation, gamma, pivot));
            },
        );
        let [_, steps] = filters.plane();
        for quad in self.bank.quads() {
            partial[8 * quad..][..8].fill(T::zero());
        }
        let mut sums = vec![[0.0; 8]; filters.quads()];
        for (at, kept) in kept.into_iter().enumerate() {
            let Some(kept) = kept else { continue };
            pooled[4 * steps * at..][..4 * steps].copy_from_slice(&kept.pooled);
            code[steps * at..][..steps].copy_from_slice(&kept.code);
            for (sum, of_clip) in sums[at % filters.quads()].iter_mut().zip(kept.sums) {
                *sum += of_clip;
            }
        }
        for quad in self.bank.quads() {
            partial[8 * quad..][..8].copy_from_slice(&sums[quad].map(T::of));
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // γ of both signs and zero, by fives, so that each lane of a quad meets them all; the others
        // at random.
        let ranges = [(0.5, 2.0), (-2.0, -0.5), (0.1, 1.0), (0.0, 0.0), (-1.0, -0.1)];
        let channels = self.bank.filters.out_channels as usize;
        Tensors {
            input: exact(),
            weight: exact_weights(&self.bank.filters),
            bias: exact(),
            gamma: Draw::Ranges(ranges.into_iter().cycle().take(channels).collect()),
            pivot: Draw::Uniform(0.0, 1.0),
            code: Draw::Below(1000),
            partial: Draw::Poison,
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let launch = |filters| Self { bank: Bank::launches(filters).last().expect("a launch") };
        let mut cases = cases(launch);
        let many = Filters::new(1, super::EXACT, 77, [38, 7], [45, 11]);
        let last = launch(many);
        // What the other launches leave stays.
        let draws = Tensors { partial: Draw::NORMAL, ..last.draw() };
        cases.push(Case::new("last of several launches", last).drawn(draws));
        cases
    }
}
