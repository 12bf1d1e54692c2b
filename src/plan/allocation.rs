//! Gives every tensor of several plans its bytes in a buffer: what is replayed on a GPU, by this
//! program as by a page in a browser.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use super::{Arena, Home, Placement, Plan, Step, Storage, TensorId};
use crate::kernels::UNIFORM_WINDOW;

/// Elements behind the last tensor of a buffer, so that a uniform window that begins in the buffer
/// also ends in it.
pub const WINDOW: usize = UNIFORM_WINDOW as usize / 4;

/// What a buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Memory {
    /// What outlives a replay.
    Storage(Storage),
    /// Tensors of all plans, in turn.
    Arena(Arena),
    /// The constants of the plan of this place, and of all plans with the same.
    Constants(usize),
}

/// A buffer of so many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What it holds.
    pub memory: Memory,
    /// Elements of four bytes.
    pub elements: usize,
}

impl Buffer {
    /// Its size: no buffer is empty.
    pub fn bytes(&self) -> u64 {
        4 * self.elements.max(4) as u64
    }
}

/// Bytes of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Extent {
    /// In [`Allocation::buffers`].
    pub buffer: usize,
    /// Bytes from its start.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}

/// Plans over shared buffers.
#[derive(Debug)]
pub struct Allocation {
    plans: Vec<Arc<Plan>>,
    placements: Vec<Placement>,
    /// By plan, the first one with the same constants.
    constants: Vec<usize>,
    buffers: Vec<Buffer>,
    /// In `buffers`.
    places: HashMap<Memory, usize>,
}

impl Allocation {
    /// Lays out the plans, in arenas of at most `buffer_limit` elements where that is possible.
    pub fn new(plans: Vec<Arc<Plan>>, buffer_limit: usize) -> Self {
        let mut buffers = Vec::new();
        for storage in Storage::ALL {
            let length = plans.iter().map(|plan| plan.storage_length(storage)).max().unwrap_or(0);
            if length > 0 {
                buffers.push(Buffer { memory: Memory::Storage(storage), elements: length });
            }
        }

        // The plan that needs most first: the others then find room in its arenas.
        let mut order: Vec<usize> = (0..plans.len()).collect();
        let needs = |&index: &usize| -> usize {
            let tensors = plans[index].tensors().iter();
            tensors.filter(|tensor| tensor.home == Home::Scratch).map(|tensor| tensor.length).sum()
        };
        order.sort_by_key(|index| Reverse(needs(index)));
        let mut lengths: HashMap<Arena, usize> = HashMap::new();
        let mut placements = vec![Placement::default(); plans.len()];
        for index in order {
            let limit = buffer_limit.saturating_sub(WINDOW);
            placements[index] = Placement::new(&plans[index], limit, &lengths);
            for (arena, length) in placements[index].arenas() {
                let longest = lengths.entry(arena).or_default();
                *longest = (*longest).max(length);
            }
        }
        let mut arenas: Vec<_> = lengths.into_iter().collect();
        arenas.sort_unstable();
        buffers.extend(arenas.into_iter().map(|(arena, length)| Buffer {
            memory: Memory::Arena(arena),
            elements: length + WINDOW,
        }));

        // Batches of different sizes are computed with the same tables.
        let like = |plan: &Arc<Plan>| plans.iter().position(|o| o.constants() == plan.constants());
        let constants: Vec<usize> = plans.iter().filter_map(like).collect();
        for (index, plan) in plans.iter().enumerate() {
            if constants[index] == index && !plan.constants().is_empty() {
                let elements = plan.constants().len();
                buffers.push(Buffer { memory: Memory::Constants(index), elements });
            }
        }
        let places = buffers.iter().enumerate().map(|(place, buffer)| (buffer.memory, place));
        let places = places.collect();
        Self { plans, placements, constants, buffers, places }
    }

    /// In the order in which they were given.
    pub fn plans(&self) -> &[Arc<Plan>] {
        &self.plans
    }

    /// What all plans together need, in no plan's order.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The buffer of this memory, where a plan needs it.
    pub fn place(&self, memory: Memory) -> Option<usize> {
        self.places.get(&memory).copied()
    }

    /// Where a tensor lies of the plan of this place.
    ///
    /// # Panics
    /// When no step uses the tensor and the host neither writes nor reads it.
    pub fn range(&self, plan: usize, id: TensorId) -> Extent {
        let tensor = self.plans[plan].tensor(id);
        let (memory, offset) = match tensor.home {
            Home::Storage(storage, offset) => (Memory::Storage(storage), offset),
            Home::Constant(offset) => (Memory::Constants(self.constants[plan]), offset),
            _ => {
                let (root, start) = self.plans[plan].root(id);
                let (arena, offset) =
                    self.placements[plan].get(root).expect("a tensor that is used has a place");
                (Memory::Arena(arena), offset + start)
            }
        };
        let buffer = self.places[&memory];
        Extent { buffer, offset: 4 * offset as u64, size: 4 * tensor.length as u64 }
    }

    /// What a step of the plan of this place binds, from binding 1 on.
    pub fn bindings(&self, plan: usize, step: &Step) -> impl Iterator<Item = Extent> {
        step.uses().map(move |(id, access)| {
            let whole = self.range(plan, id);
            let (offset, size) = step.launch.bound(access, whole.offset, whole.size);
            Extent { offset, size, ..whole }
        })
    }
}
