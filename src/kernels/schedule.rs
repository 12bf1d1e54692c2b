//! Schedules: how a kernel's work is laid over threads, and which adapters that is for.

use super::{Access, AnyKernel, File, Kernel, UNIFORM_WINDOW};

/// What a schedule may be chosen by: an adapter, as far as kernels care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the adapter is a program on the CPU: threads are lanes of its vectors, and a masked
    /// one takes as long as any other.
    pub software: bool,
    /// The fewest and the most threads of a subgroup, where the adapter has subgroups.
    pub subgroup: Option<[u32; 2]>,
    /// Threads of a workgroup at most.
    pub workgroup_threads: u32,
    /// Bytes of memory of a workgroup at most.
    pub workgroup_bytes: u32,
}

impl Facts {
    /// The least that WebGPU promises of any adapter: for the CPU references, and for plans that are
    /// only looked at.
    pub const PORTABLE: Self =
        Self { software: false, subgroup: None, workgroup_threads: 256, workgroup_bytes: 16 << 10 };

    /// Whether a number costs less from another lane than from memory.
    pub fn hands_round(&self) -> bool {
        self.software && self.subgroup.is_some()
    }

    /// Whether that is so, and a subgroup has eight threads.
    pub fn hands_round_eights(&self) -> bool {
        self.hands_round() && self.subgroup == Some([8, 8])
    }
}

/// The WGSL of a schedule.
#[derive(Clone, Copy, Debug)]
pub struct Shader {
    /// Its path under `shaders/` without the ending: the kernel's identity, which is the general
    /// schedule's name as well, or for another one KERNEL@SCHEDULE.
    pub name: &'static str,
    /// WGSL: the schedule's own file, then the pieces.
    pub source: &'static str,
    /// The files of the source, in this order.
    pub files: &'static [File],
    /// Whether an adapter can run it, and so verifies it.
    pub runs_on: fn(&Facts) -> bool,
    /// Whether an adapter that can run it does: else a later schedule is the better one there.
    pub suits: fn(&Facts) -> bool,
}

/// Values of `override` constants.
pub type Constants = Vec<(&'static str, f64)>;

/// A launch's work over threads.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Workgroups to dispatch.
    pub workgroups: [u32; 3],
    /// `override` constants; pipelines are shared between launches with equal ones.
    pub constants: Constants,
    /// How many shares each tensor of [`Access::Shares`] holds, one after the other.
    pub shares: u32,
}

impl Grid {
    /// Without constants, with sums in one share.
    pub fn of(workgroups: [u32; 3]) -> Self {
        Self { workgroups, constants: Vec::new(), shares: 1 }
    }
}

/// What pipelines are known by: a schedule's name and the bits of its constants.
pub type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

/// One way to lay a kernel's work over threads.
#[derive(Clone, Copy, Debug)]
pub struct Schedule<K> {
    /// What runs, and where.
    pub shader: Shader,
    /// The grid for a kernel's parameters.
    pub grid: fn(&K) -> Grid,
}

impl<K: Kernel> Schedule<K> {
    /// The schedule that runs on any adapter.
    pub const fn general(grid: fn(&K) -> Grid) -> Self {
        let (source, files) = (K::SOURCE, K::FILES);
        let shader = Shader { name: K::ID, source, files, runs_on: |_| true, suits: |_| true };
        Self { shader, grid }
    }
}

/// A kernel with its parameters on the schedule that it is launched by: what a plan's step holds.
#[derive(Debug)]
pub struct Launch {
    /// The formula.
    pub kernel: Box<dyn AnyKernel>,
    /// The schedule's WGSL.
    pub shader: Shader,
    /// The schedule's grid.
    pub grid: Grid,
}

impl Launch {
    /// By the first of the kernel's schedules that runs there and suits.
    ///
    /// # Panics
    /// When none does: the last schedule of a kernel is the general one.
    pub fn new<K: Kernel>(kernel: K, facts: &Facts) -> Self {
        let fits = |schedule: &&Schedule<K>| {
            let Shader { runs_on, suits, .. } = schedule.shader;
            runs_on(facts) && suits(facts)
        };
        let schedule = K::SCHEDULES.iter().find(fits);
        Self::by(kernel, schedule.unwrap_or_else(|| panic!("{} has no general schedule", K::ID)))
    }

    /// By each of the kernel's schedules, wherever they run.
    pub fn every<K: Kernel>(kernel: K) -> impl Iterator<Item = Self> {
        K::SCHEDULES.iter().map(move |schedule| Self::by(kernel, schedule))
    }

    fn by<K: Kernel>(kernel: K, schedule: &Schedule<K>) -> Self {
        let grid = (schedule.grid)(&kernel);
        Self { kernel: Box::new(kernel), shader: schedule.shader, grid }
    }

    /// Elements of each tensor, in binding order.
    pub fn lengths(&self) -> Vec<usize> {
        let lengths = self.kernel.lengths().into_iter().zip(self.kernel.bindings());
        lengths.map(|(length, binding)| self.shares_in(binding.access) * length).collect()
    }

    /// What it shares with launches of the same pipeline.
    pub fn pipeline_key(&self) -> PipelineKey {
        let constants = self.grid.constants.iter().map(|&(name, value)| (name, value.to_bits()));
        (self.shader.name, constants.collect())
    }

    /// The bytes that are bound of a tensor of `size` bytes which begins at `offset`: their start, and how
    /// many they are.
    pub fn bound(&self, access: Access, offset: u64, size: u64) -> (u64, u64) {
        match access {
            Access::Uniform => (offset + 4 * self.kernel.uniform_start() as u64, UNIFORM_WINDOW),
            _ => (offset, size),
        }
    }

    /// How many of what the formula speaks of a tensor holds.
    pub fn shares_in(&self, access: Access) -> usize {
        if access == Access::Shares { self.grid.shares as usize } else { 1 }
    }
}
