//! Puts a plan's tensors into a few arenas, each one buffer on the device.
//!
//! WebGPU tracks a buffer as a whole: one dispatch may not bind a buffer both for reading and for
//! writing, not even at disjoint ranges. So a tensor that a step reads and a tensor that the same
//! step writes must lie in different arenas. Within an arena, tensors whose lives do not overlap
//! share room.

use std::collections::HashMap;

use super::{Home, Plan, TensorId};
use crate::kernels::ALIGNMENT;

/// A buffer that holds many tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arena {
    /// What the host writes.
    Input,
    /// What the host reads.
    Output,
    /// What lives between steps; as many as the largest buffer asks for.
    Scratch(usize),
}

/// Arena and offset (in elements) of every tensor that is not at home in a storage.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    places: HashMap<TensorId, (Arena, usize)>,
    lengths: HashMap<Arena, usize>,
}

/// First and last step that uses a tensor.
#[derive(Clone, Copy, Debug)]
struct Life {
    first: usize,
    last: usize,
}

impl Life {
    fn steps(self) -> f64 {
        (self.last - self.first + 1) as f64
    }

    fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// The orders in which tensors are placed, each a weight of their lives: by length × steps^weight,
/// the greatest first, so that small ones fill the gaps. Which packs best differs from plan to plan.
const ORDERS: [f64; 3] = [0.0, 0.5, 1.0];

/// A tensor without a place.
struct Wanted {
    id: TensorId,
    life: Life,
    length: usize,
}

struct Placed {
    id: TensorId,
    life: Life,
    start: usize,
    end: usize,
}

impl Placement {
    /// Places the tensors of `plan` into arenas of at most `arena_limit` elements, so that these
    /// grow as little as may be beyond the lengths `given`, which other plans need anyway. A larger
    /// tensor gets an arena of its own, which the device will refuse with its own words.
    pub fn new(plan: &Plan, arena_limit: usize, given: &HashMap<Arena, usize>) -> Self {
        let mut lives: HashMap<TensorId, Life> = HashMap::new();
        let mut foes: HashMap<TensorId, Vec<TensorId>> = HashMap::new();
        for (index, step) in plan.steps().iter().enumerate() {
            let uses: Vec<_> = step.uses().map(|(id, access)| (plan.root(id).0, access)).collect();
            for &(id, access) in &uses {
                let life = lives.entry(id).or_insert(Life { first: index, last: index });
                life.last = index;
                for &(other, other_access) in &uses {
                    if access.reads() != other_access.reads() {
                        foes.entry(id).or_default().push(other);
                    }
                }
            }
        }

        let mut placement = Self::default();
        let mut scratch: Vec<Wanted> = Vec::new();
        for (index, tensor) in plan.tensors().iter().enumerate() {
            let id = TensorId(index);
            match tensor.home {
                Home::Storage(..) | Home::Constant(_) | Home::Part(..) => {}
                Home::Input => placement.append(id, Arena::Input, tensor.length),
                Home::Output => placement.append(id, Arena::Output, tensor.length),
                Home::Scratch => scratch.extend(lives.get(&id).map(|&life| Wanted {
                    id,
                    life,
                    length: tensor.length.next_multiple_of(ALIGNMENT),
                })),
            }
        }
        let given: Vec<usize> =
            (0..).map_while(|index| given.get(&Arena::Scratch(index)).copied()).collect();
        let packings = ORDERS.into_iter().map(|weight| {
            scratch.sort_by(|a, b| {
                let size =
                    |wanted: &Wanted| wanted.length as f64 * wanted.life.steps().powf(weight);
                size(b).total_cmp(&size(a)).then(a.id.cmp(&b.id))
            });
            pack(&scratch, &foes, arena_limit, &given)
        });
        let best = packings.min_by_key(|arenas| {
            let arenas = arenas.iter().enumerate();
            arenas.map(|(index, arena)| length(arena, index, &given)).sum::<usize>()
        });
        for (index, arena) in best.into_iter().flatten().enumerate() {
            for placed in arena {
                placement.put(placed.id, Arena::Scratch(index), placed.start, placed.end);
            }
        }
        placement
    }

    fn append(&mut self, id: TensorId, arena: Arena, length: usize) {
        let start = self.lengths.get(&arena).copied().unwrap_or(0);
        self.put(id, arena, start, (start + length).next_multiple_of(ALIGNMENT));
    }

    fn put(&mut self, id: TensorId, arena: Arena, start: usize, end: usize) {
        self.places.insert(id, (arena, start));
        let length = self.lengths.entry(arena).or_insert(0);
        *length = (*length).max(end);
    }

    /// Arena and offset in elements; none for tensors in storages and tensors nobody uses.
    pub fn get(&self, id: TensorId) -> Option<(Arena, usize)> {
        self.places.get(&id).copied()
    }

    /// (arena, elements), in order.
    pub fn arenas(&self) -> Vec<(Arena, usize)> {
        let mut arenas: Vec<_> =
            self.lengths.iter().map(|(&arena, &length)| (arena, length)).collect();
        arenas.sort_unstable();
        arenas
    }
}

/// Puts tensors, in their order, each into the arena that grows least.
fn pack(
    scratch: &[Wanted],
    foes: &HashMap<TensorId, Vec<TensorId>>,
    arena_limit: usize,
    given: &[usize],
) -> Vec<Vec<Placed>> {
    let mut arenas: Vec<Vec<Placed>> = given.iter().map(|_| Vec::new()).collect();
    for &Wanted { id, life, length: wanted } in scratch {
        let enemies = foes.get(&id).map_or(&[][..], Vec::as_slice);
        let best = arenas
            .iter()
            .enumerate()
            .filter(|(_, arena)| arena.iter().all(|placed| !enemies.contains(&placed.id)))
            .filter_map(|(index, arena)| {
                let start = first_fit(arena, life, wanted);
                let before = length(arena, index, given);
                let after = before.max(start + wanted);
                (after <= arena_limit).then_some((after - before, index, start))
            })
            .min();
        let (index, start) = best.map_or((arenas.len(), 0), |(_, index, start)| (index, start));
        if index == arenas.len() {
            arenas.push(Vec::new());
        }
        arenas[index].push(Placed { id, life, start, end: start + wanted });
    }
    arenas
}

/// Elements of an arena that was at least as long as given.
fn length(arena: &[Placed], index: usize, given: &[usize]) -> usize {
    let given = given.get(index).copied().unwrap_or(0);
    arena.iter().map(|placed| placed.end).fold(given, usize::max)
}

/// The lowest start at which `length` elements fit beside all tensors alive at the same time.
fn first_fit(arena: &[Placed], life: Life, length: usize) -> usize {
    let mut busy: Vec<(usize, usize)> = arena
        .iter()
        .filter(|placed| placed.life.overlaps(life))
        .map(|placed| (placed.start, placed.end))
        .collect();
    busy.sort_unstable();
    let mut start = 0;
    for (from, to) in busy {
        if start + length <= from {
            break;
        }
        start = start.max(to);
    }
    start
}
