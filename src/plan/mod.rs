//! The plan: everything one update or one prediction does, as plain data.
//!
//! A plan is a list of steps in execution order. A step is a kernel with its parameters and the
//! tensors it binds. Shapes are static, the backward pass is planned like the forward pass, and
//! both executors replay the same list.

mod allocation;
mod layout;
mod placement;
pub mod script;

pub use allocation::{Allocation, Buffer, Extent, Memory, WINDOW};
pub use layout::Layout;
pub use placement::{Arena, Placement};

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::kernels::{ALIGNMENT, Access, Declaration, Element, Facts, Kernel, Launch};

/// Memory that outlives a replay. Parameters, their gradients, averages and both Adam moments share one
/// [`Layout`], so that the optimiser is a single step over four flat arrays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Storage {
    /// Trained tensors.
    Parameters,
    /// What the loss says of the parameters.
    Gradients,
    /// Adam's first moment.
    ExpAvg,
    /// Adam's second moment.
    ExpAvgSq,
    /// Batch-norm running statistics.
    Buffers,
    /// Moving averages of the parameters, for models with `train.average_epochs`.
    AverageParameters,
    /// Moving averages of the running statistics.
    AverageBuffers,
    /// The sum of the losses of the clips trained on since the epoch began.
    EpochLoss,
    /// Words that report trouble from the device: [`STATUS_CLEAR`] until something goes wrong.
    Status,
}

impl Storage {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Parameters,
        Self::Gradients,
        Self::ExpAvg,
        Self::ExpAvgSq,
        Self::Buffers,
        Self::AverageParameters,
        Self::AverageBuffers,
        Self::EpochLoss,
        Self::Status,
    ];

    /// What its elements are.
    pub const fn element(self) -> Element {
        match self {
            Self::Status => Element::U32,
            _ => Element::F32,
        }
    }
}

/// The value of a status word while nothing is wrong.
pub const STATUS_CLEAR: u32 = u32::MAX;

/// Where a tensor lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// At this element of a storage.
    Storage(Storage, usize),
    /// From this word of [`Plan::constants`] on.
    Constant(usize),
    /// Written by the host before a replay.
    Input,
    /// Read by the host after a replay.
    Output,
    /// Alive between its first and its last step; its room is then used again.
    Scratch,
    /// From this element of another tensor on, which is not a part itself.
    Part(TensorId, usize),
}

/// A tensor's place in its plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(usize);

impl TensorId {
    /// In [`Plan::tensors`].
    pub const fn index(self) -> usize {
        self.0
    }
}

/// A tensor of a plan: flat, since each kernel knows its shape.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// For people.
    pub name: String,
    /// Elements.
    pub length: usize,
    /// What they are.
    pub element: Element,
    /// Where it lives.
    pub home: Home,
}

/// One launch, and what it binds.
#[derive(Debug)]
pub struct Step {
    /// The kernel with its parameters, on a schedule.
    pub launch: Launch,
    /// In the kernel's binding order.
    pub tensors: Vec<TensorId>,
}

impl Step {
    /// The tensors with how the kernel uses each.
    pub fn uses(&self) -> impl Iterator<Item = (TensorId, Access)> + '_ {
        self.tensors.iter().copied().zip(self.launch.kernel.bindings().iter().map(|b| b.access))
    }
}

/// Steps in the order of execution, and the tensors that they bind.
#[derive(Debug)]
pub struct Plan {
    /// Where it will run.
    facts: Facts,
    tensors: Vec<Tensor>,
    constants: Arc<Vec<u32>>,
    steps: Vec<Step>,
}

impl Plan {
    /// No steps, for an adapter of which this is known.
    pub fn new(facts: &Facts) -> Self {
        Self { facts: *facts, tensors: Vec::new(), constants: Arc::default(), steps: Vec::new() }
    }

    /// A tensor of `length` elements; what they are is settled by the first kernel that binds it.
    fn add(&mut self, name: String, length: usize, element: Element, home: Home) -> TensorId {
        self.tensors.push(Tensor { name, length, element, home });
        TensorId(self.tensors.len() - 1)
    }

    /// A tensor of words that never change.
    pub fn constant(&mut self, name: impl Into<String>, words: &[u32]) -> TensorId {
        self.add_constant(name.into(), words, Element::U32)
    }

    /// A tensor of numbers that never change.
    pub fn constant_numbers(&mut self, name: impl Into<String>, numbers: &[f32]) -> TensorId {
        self.add_constant(name.into(), bytemuck::cast_slice(numbers), Element::F32)
    }

    fn add_constant(&mut self, name: String, words: &[u32], element: Element) -> TensorId {
        let constants = Arc::make_mut(&mut self.constants);
        let start = constants.len().next_multiple_of(ALIGNMENT);
        constants.resize(start, 0);
        constants.extend_from_slice(words);
        self.add(name, words.len(), element, Home::Constant(start))
    }

    /// A tensor that the host writes before a replay.
    pub fn input(&mut self, name: impl Into<String>, length: usize, element: Element) -> TensorId {
        self.add(name.into(), length, element, Home::Input)
    }

    /// A tensor of numbers that the host reads after a replay.
    pub fn output(&mut self, name: impl Into<String>, length: usize) -> TensorId {
        self.add(name.into(), length, Element::F32, Home::Output)
    }

    /// Makes a tensor between steps one that the host reads after a replay as well.
    pub fn keep(&mut self, id: TensorId) {
        let home = &mut self.tensors[id.0].home;
        if *home == Home::Scratch {
            *home = Home::Output;
        }
    }

    /// A tensor of numbers between steps; its memory is used again.
    pub fn scratch(&mut self, name: impl Into<String>, length: usize) -> TensorId {
        self.add(name.into(), length, Element::F32, Home::Scratch)
    }

    /// A tensor of words between steps; its memory is used again.
    pub fn scratch_words(&mut self, name: impl Into<String>, length: usize) -> TensorId {
        self.add(name.into(), length, Element::U32, Home::Scratch)
    }

    /// A view of `length` elements from `offset` in a storage.
    pub fn stored(
        &mut self,
        name: impl Into<String>,
        storage: Storage,
        offset: usize,
        length: usize,
    ) -> TensorId {
        self.add(name.into(), length, storage.element(), Home::Storage(storage, offset))
    }

    /// `length` elements of `whole` from `offset`, a multiple of [`ALIGNMENT`], on. Whoever binds
    /// the part keeps the whole alive.
    ///
    /// # Panics
    /// When the part does not lie in the whole, or the offset is not aligned: a planning error.
    pub fn part(&mut self, whole: TensorId, offset: usize, length: usize) -> TensorId {
        let Tensor { name, length: all, element, home } = self.tensor(whole);
        assert!(offset.is_multiple_of(ALIGNMENT) && offset + length <= *all, "{name}");
        let home = match *home {
            Home::Storage(storage, start) => Home::Storage(storage, start + offset),
            Home::Part(root, start) => Home::Part(root, start + offset),
            _ => Home::Part(whole, offset),
        };
        self.add(format!("{name}[{offset}..]"), length, *element, home)
    }

    /// The tensor that a part is of, and where it begins there; any other tensor as it is.
    pub fn root(&self, id: TensorId) -> (TensorId, usize) {
        match self.tensor(id).home {
            Home::Part(root, offset) => (root, offset),
            _ => (id, 0),
        }
    }

    /// How many shares a kernel's sums will come in.
    pub fn shares<K: Kernel>(&self, kernel: K) -> u32 {
        Launch::new(kernel, &self.facts).grid.shares
    }

    /// Appends a step, on the schedule that the adapter prefers.
    ///
    /// # Panics
    /// When a tensor's length or element type is not what the kernel declares: a planning error.
    pub fn step<K: Kernel>(&mut self, kernel: K, tensors: <K as Declaration>::Tensors<TensorId>) {
        let launch = Launch::new(kernel, &self.facts);
        let tensors = K::in_order(tensors);
        for ((&id, binding), length) in tensors.iter().zip(K::BINDINGS).zip(launch.lengths()) {
            let tensor = &self.tensors[id.0];
            assert!(
                tensor.length == length && tensor.element == binding.element,
                "{}: {} wants {length} × {:?}, {} has {} × {:?}",
                launch.shader.name,
                binding.name,
                binding.element,
                tensor.name,
                tensor.length,
                tensor.element,
            );
        }
        self.steps.push(Step { launch, tensors });
    }

    /// A plan of one launch, over tensors of its own with the bindings' names.
    pub fn alone(launch: Launch) -> Self {
        let mut plan = Self::new(&Facts::PORTABLE);
        let tensors = launch
            .kernel
            .bindings()
            .iter()
            .zip(launch.lengths())
            .map(|(binding, length)| {
                let home = if binding.access == Access::Write { Home::Output } else { Home::Input };
                plan.add(binding.name.to_owned(), length, binding.element, home)
            })
            .collect();
        plan.steps.push(Step { launch, tensors });
        plan
    }

    /// All tensors, by [`TensorId::index`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All tensors with what they are known by.
    pub fn named(&self) -> impl Iterator<Item = (TensorId, &Tensor)> {
        self.tensors.iter().enumerate().map(|(index, tensor)| (TensorId(index), tensor))
    }

    /// One of this plan's tensors.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// What the tensors at [`Home::Constant`] hold, one after the other.
    pub fn constants(&self) -> &[u32] {
        &self.constants
    }

    /// Keeps its constants, where they are another plan's, in that plan's memory.
    pub fn share_constants(&mut self, other: &Self) {
        if self.constants == other.constants {
            self.constants = Arc::clone(&other.constants);
        }
    }

    /// The tensor of this name, for tests and tools that look inside.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|tensor| tensor.name == name).map(TensorId)
    }

    /// In the order of execution.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The parts of a storage that steps write, by place, and after how many steps each is as the plan leaves it.
    pub fn written(&self, storage: Storage) -> Vec<(Range<usize>, usize)> {
        let mut parts = BTreeMap::new();
        for (at, step) in self.steps.iter().enumerate() {
            for (id, _) in step.uses().filter(|(_, access)| !access.reads()) {
                let (root, start) = self.root(id);
                match self.tensor(root).home {
                    Home::Storage(of, offset) if of == storage => {
                        let begin = offset + start;
                        parts.insert(begin, (begin + self.tensor(id).length, at + 1));
                    }
                    _ => {}
                }
            }
        }
        parts.into_iter().map(|(begin, (end, steps))| (begin..end, steps)).collect()
    }

    /// Elements that this plan needs of a storage, in whole alignments as in a [`Layout`].
    pub fn storage_length(&self, storage: Storage) -> usize {
        self.tensors
            .iter()
            .filter_map(|tensor| match tensor.home {
                Home::Storage(s, offset) if s == storage => Some(offset + tensor.length),
                _ => None,
            })
            .max()
            .map_or(0, |end: usize| end.next_multiple_of(ALIGNMENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::verify::{Case, Draw};
    use crate::kernels::{Cost, Grid, Real, Schedule, Shader, kernel};

    // The sum of the items. The shader's text does not matter here.
    kernel! {
        "bench/copy",
        params { items: u32 },
        tensors { input: read f32, partial: shares f32 },
    }

    impl Params {
        fn grid(&self, lanes: u32) -> Grid {
            let shares = self.items.div_ceil(lanes);
            Grid { shares, ..Grid::of([shares, 1, 1]) }
        }
    }

    impl Kernel for Params {
        const SCHEDULES: &'static [Schedule<Self>] = &[
            Schedule {
                shader: Shader {
                    name: "bench/copy@wide",
                    files: &[],
                    source: Self::SOURCE,
                    runs_on: |facts| facts.workgroup_threads >= 1024,
                    suits: |_| true,
                },
                grid: |params| params.grid(1024),
            },
            Schedule::general(|params| params.grid(64)),
        ];

        fn lengths(&self) -> Tensors<usize> {
            Tensors { input: self.items as usize, partial: 1 }
        }

        fn cost(&self) -> Cost {
            Cost::default()
        }

        fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
            tensors.partial[0] = tensors.input.iter().copied().sum();
        }

        fn draw(&self) -> Tensors<Draw> {
            Tensors { input: Draw::NORMAL, partial: Draw::Poison }
        }

        fn cases() -> Vec<Case<Self>> {
            Vec::new()
        }
    }

    const SUM: Params = Params { items: 2048 };
    const WIDE: Facts = Facts { workgroup_threads: 1024, ..Facts::PORTABLE };

    /// A plan of the sum, into so many shares.
    fn plan(facts: &Facts, shares: usize) -> Plan {
        let mut plan = Plan::new(facts);
        let input = plan.scratch("input", 2048);
        let partial = plan.scratch("partial", shares);
        plan.step(SUM, Tensors { input, partial });
        plan
    }

    #[test]
    fn a_schedule_is_chosen_by_facts_and_says_how_many_shares_there_are() {
        for (facts, name, shares) in
            [(Facts::PORTABLE, "bench/copy", 32), (WIDE, "bench/copy@wide", 2)]
        {
            assert_eq!(Plan::new(&facts).shares(SUM), shares);
            let plan = plan(&facts, shares as usize);
            let launch = &plan.steps()[0].launch;
            assert_eq!((launch.shader.name, launch.grid.workgroups), (name, [shares, 1, 1]));
        }
    }

    #[test]
    #[should_panic(expected = "partial wants 2 × F32, partial has 32 × F32")]
    fn shares_of_another_schedule_are_refused() {
        plan(&WIDE, 32);
    }

    #[test]
    fn a_case_is_verified_on_every_schedule() {
        let names = Launch::every(SUM).map(|launch| launch.shader.name);
        assert_eq!(names.collect::<Vec<_>>(), ["bench/copy@wide", "bench/copy"]);
    }
}
