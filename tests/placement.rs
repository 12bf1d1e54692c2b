//! Where scratch tensors of whole models lie.

use std::collections::HashMap;

use moodshader::kernels::{ALIGNMENT, Facts};
use moodshader::model::checkpoint::{HandcraftedNormalization, Normalization};
use moodshader::model::{Network, Purpose, preset::Preset};
use moodshader::plan::{Arena, Placement, Plan, TensorId};

fn network(preset: &str) -> Network {
    let handcrafted = Some(HandcraftedNormalization { mean: [0.0; 6], std: [1.0; 6] });
    let normalization = Normalization { mean: 0.0, std: 1.0, handcrafted };
    Network::new(&Preset::named(preset).unwrap(), normalization)
}

fn plan(network: &Network, batch: usize, purpose: Purpose) -> Plan {
    network.program(batch, purpose, &Facts::PORTABLE).plan
}

fn lengths(placement: &Placement) -> HashMap<Arena, usize> {
    placement.arenas().into_iter().collect()
}

/// A tensor in an arena: from where to where, and whether the step at hand reads or writes it.
type Room = (Arena, usize, usize, Option<bool>);

/// By step: what is needed then.
fn needed(plan: &Plan, placement: &Placement) -> Vec<Vec<Room>> {
    let mut lives: HashMap<TensorId, (usize, usize)> = HashMap::new();
    for (index, step) in plan.steps().iter().enumerate() {
        for (id, _) in step.uses() {
            lives.entry(plan.root(id).0).or_insert((index, index)).1 = index;
        }
    }
    let steps = plan.steps().iter().enumerate();
    steps
        .map(|(index, step)| {
            let alive = lives.iter().filter(|&(_, &(from, to))| from <= index && index <= to);
            let placed = alive.filter_map(|(&id, _)| {
                let (arena, start) = placement.get(id)?;
                let bound = step.uses().find(|&(bound, _)| plan.root(bound).0 == id);
                let read = bound.map(|(_, access)| access.reads());
                Some((arena, start, start + plan.tensor(id).length, read))
            });
            placed.collect()
        })
        .collect()
}

#[test]
fn tensors_share_arenas_but_never_room_or_a_step_that_writes() {
    for preset in ["paper-handcrafted", "rnn-handcrafted", "cnn"] {
        let plan = plan(&network(preset), 2, Purpose::Training);
        let placement = Placement::new(&plan, usize::MAX, &HashMap::new());
        for tensors in needed(&plan, &placement) {
            for (i, a) in tensors.iter().enumerate() {
                for b in &tensors[..i] {
                    assert!(a.0 != b.0 || a.2 <= b.1 || b.2 <= a.1, "{preset}: {a:?} on {b:?}");
                    let clash = a.0 == b.0 && a.3.is_some() && b.3.is_some() && a.3 != b.3;
                    assert!(!clash, "{preset}: {a:?} is written while {b:?} is read");
                }
            }
        }
    }
}

#[test]
fn arenas_are_hardly_larger_than_what_is_alive() {
    let network = network("paper");
    let largest = plan(&network, 32, Purpose::Training);
    let placement = Placement::new(&largest, usize::MAX, &HashMap::new());
    let total: usize = lengths(&placement).values().sum();
    let alive = needed(&largest, &placement)
        .into_iter()
        .map(|tensors| tensors.iter().map(|&(_, start, end, _)| end - start).sum::<usize>());
    let most = alive.max().unwrap();
    assert!(total as f64 <= 1.05 * most as f64, "{total} for {most}");

    // What shorter batches and the validation need is there already.
    let given = lengths(&placement);
    let smaller = [(31, Purpose::Training), (32, Purpose::Evaluation), (7, Purpose::Evaluation)];
    for (batch, purpose) in smaller {
        for (arena, length) in
            Placement::new(&plan(&network, batch, purpose), usize::MAX, &given).arenas()
        {
            assert!(given.get(&arena).is_some_and(|&given| length <= given), "{arena:?}");
        }
    }
}

#[test]
fn arenas_keep_to_a_limit_that_their_tensors_keep_to() {
    let plan = plan(&network("paper"), 4, Purpose::Training);
    let limit = plan.tensors().iter().map(|tensor| tensor.length).max().unwrap() + ALIGNMENT;
    let placement = Placement::new(&plan, limit, &HashMap::new());
    for (arena, length) in placement.arenas() {
        assert!(!matches!(arena, Arena::Scratch(_)) || length <= limit, "{arena:?}");
    }
}
