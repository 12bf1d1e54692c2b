//! The gradient in two parts, for processes that sum it: the first is exchanged while the rest is computed.

use std::ops::Range;

use super::network::Network;
use super::planning::Purpose;
use crate::kernels::Facts;
use crate::plan::{Plan, Storage};

/// Ranges of the flat gradient: those that a backward pass is done with first, and the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GradientParts {
    /// Of each part, in the order of their places.
    pub parts: [Vec<Range<usize>>; 2],
    /// Of the whole gradient.
    length: usize,
}

impl GradientParts {
    /// Those of a model: the same for every share of a batch and every adapter. The cut is where the first
    /// part and the work that is left behind it are both large: a backward pass comes to the dense layers and
    /// the recurrences first, which have most of the parameters, and to the convolutions last, which have most
    /// of the work.
    pub fn of(network: &Network) -> Self {
        let plan = network.program(1, Purpose::Gradients, &Facts::PORTABLE).plan;
        let written = plan.written(Storage::Gradients);
        let done: usize = written.iter().map(|(range, _)| range.len()).sum();
        let flops: Vec<f64> =
            plan.steps().iter().map(|step| step.launch.kernel.cost().flops).collect();
        let work: f64 = flops.iter().sum();
        let hides = |cut: usize| {
            let first: usize =
                written.iter().filter(|(_, step)| *step <= cut).map(|(range, _)| range.len()).sum();
            let behind: f64 = flops[cut..].iter().sum();
            (first as f64 / done as f64).min(behind / work)
        };
        let cuts = written.iter().map(|&(_, step)| step);
        let cut = cuts.max_by(|&a, &b| hides(a).total_cmp(&hides(b)).then(b.cmp(&a))).unwrap_or(0);
        let mut parts = [Vec::new(), Vec::new()];
        let mut before = None;
        for (range, step) in written {
            let part = usize::from(step > cut);
            match parts[part].last_mut() {
                // What lies between two tensors of a part is nobody's.
                Some(last) if before == Some(part) => {
                    let last: &mut Range<usize> = last;
                    last.end = range.end;
                }
                _ => parts[part].push(range),
            }
            before = Some(part);
        }
        Self { parts, length: network.layout(Storage::Gradients).length() }
    }

    /// After how many steps of a plan the first part is there.
    pub fn steps(&self, plan: &Plan) -> usize {
        let first = |range: &Range<usize>| {
            self.parts[0].iter().any(|part| part.start <= range.start && range.end <= part.end)
        };
        let written = plan.written(Storage::Gradients);
        written.iter().filter(|(range, _)| first(range)).map(|&(_, step)| step).max().unwrap_or(0)
    }

    /// Numbers of each part.
    pub fn lengths(&self) -> [usize; 2] {
        [0, 1].map(|part: usize| self.parts[part].iter().map(Range::len).sum())
    }

    /// The flat gradient of its two parts.
    pub fn join(&self, parts: [&[f32]; 2]) -> Vec<f32> {
        let mut all = vec![0.0; self.length];
        for (ranges, mut numbers) in self.parts.iter().zip(parts) {
            for range in ranges {
                let (own, rest) = numbers.split_at(range.len());
                all[range.clone()].copy_from_slice(own);
                numbers = rest;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::GradientParts;
    use crate::kernels::Facts;
    use crate::model::Network;
    use crate::model::bench::normalization;
    use crate::model::planning::Purpose;
    use crate::model::preset::Preset;
    use crate::plan::Storage;

    #[test]
    fn the_parts_are_the_gradient_and_the_first_is_there_before_the_end() {
        for name in Preset::names() {
            let preset = Preset::named(name).unwrap();
            let network = Network::new(&preset, normalization(&preset));
            let parts = GradientParts::of(&network);
            let [first, rest] = parts.lengths();
            let numbers: Vec<f32> = (1..=first + rest).map(|n| n as f32).collect();
            let (a, b) = numbers.split_at(first);
            let all = parts.join([a, b]);
            let layout = network.layout(Storage::Gradients);
            for (name, offset, length) in layout.entries() {
                assert!(all[offset..offset + length].iter().all(|&n| n > 0.0), "{name}");
            }
            for facts in [Facts::PORTABLE, Facts { software: true, ..Facts::PORTABLE }] {
                let plan = network.program(3, Purpose::Gradients, &facts).plan;
                let steps = parts.steps(&plan);
                assert!((1..plan.steps().len()).contains(&steps), "{name}: {steps}");
            }
        }
    }
}
