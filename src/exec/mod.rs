//! Executors replay plans: on a GPU through `wgpu`, or on the CPU through the kernels' references.

mod adapter;
mod cpu;
mod gpu;
mod pipelines;
mod profile;
mod programs;
mod record;
pub mod verification;
mod watch;

pub use adapter::{AdapterSummary, DRIVERS, DeviceChoice, adapters, choose};
pub use cpu::CpuPrograms;
pub use gpu::{Gpu, GpuOptions};
pub use pipelines::Compilation;
pub use profile::Profile;
pub use programs::{GpuPrograms, fits};
pub use record::Record;

pub use wgpu::{Adapter, Limits};

use std::ops::Range;
use std::sync::Arc;

use crate::kernels::Facts;
use crate::plan::{Plan, Storage, TensorId};
use crate::{Error, Result};

/// Values for a [`crate::plan::Home::Input`] tensor.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Numbers.
    F32(&'a [f32]),
    /// Words.
    U32(&'a [u32]),
}

/// Which of the plans given at construction.
pub type ProgramIndex = usize;

/// Waits for numbers that are on their way to the host, and returns them.
pub type Arrival = Box<dyn FnOnce() -> Result<Vec<f32>>>;

/// Plans made ready to run over shared storages.
pub trait Executor: Send {
    /// Waits until a replay can be started without waiting.
    fn wait_until_ready(&mut self) -> Result<()>;
    /// Starts a replay. Errors of the device may surface in a later call.
    fn run(&mut self, program: ProgramIndex, inputs: &[(TensorId, Input<'_>)]) -> Result<()> {
        self.run_to(program, inputs, usize::MAX)
    }
    /// Starts the first steps of a replay; [`Self::go_on_from`] starts the others.
    fn run_to(
        &mut self,
        program: ProgramIndex,
        inputs: &[(TensorId, Input<'_>)],
        steps: usize,
    ) -> Result<()>;
    /// Starts what [`Self::run_to`] has left.
    fn go_on_from(&mut self, program: ProgramIndex, steps: usize) -> Result<()>;
    /// Sends the elements of a tensor after the last replay to the host; scratch tensors may have
    /// been overwritten by a later step. Replays that are started before the arrival change nothing
    /// about it, and go on meanwhile.
    fn send(&mut self, program: ProgramIndex, tensor: TensorId) -> Result<Arrival>;
    /// Sends numbers of a storage to the host as the steps that were started so far leave them; as in
    /// [`Self::send`], later ones change nothing about it. Those that no plan uses are 0.
    fn send_stored(&mut self, storage: Storage, elements: Range<usize>) -> Result<Arrival>;
    /// The elements of a tensor after the last replay, as in [`Self::send`].
    fn read(&mut self, program: ProgramIndex, tensor: TensorId) -> Result<Vec<f32>> {
        self.send(program, tensor)?()
    }
    /// Replaces the first elements of a storage of numbers.
    fn upload(&mut self, storage: Storage, values: &[f32]) -> Result<()>;
    /// All of a storage of numbers.
    fn download(&mut self, storage: Storage) -> Result<Vec<f32>>;
    /// The status words.
    fn status(&mut self) -> Result<Vec<u32>>;
    /// Waits for everything that was started.
    fn wait(&mut self) -> Result<()>;
}

/// What a user's `--device` led to.
#[derive(Clone, Debug)]
pub enum Device {
    /// An adapter, opened.
    Gpu(Arc<Gpu>),
    /// The CPU references, in `f32`.
    Cpu,
}

impl Device {
    /// Opens what was asked for, and returns why adapters that come before it were not taken: where
    /// any will do, one that cannot be opened is passed over. The CPU references are the last that
    /// `auto` takes; what was asked for by name is never replaced.
    ///
    /// # Errors
    /// There is no such adapter, or none that can be opened.
    pub fn open(choice: &DeviceChoice, options: GpuOptions) -> Result<(Self, Vec<Error>)> {
        Self::open_for(choice, options, 0)
    }

    /// As [`Self::open`], for one of several processes of this host, counted from 0: they go round the
    /// adapters that are as good as the first.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(
        choice: &DeviceChoice,
        options: GpuOptions,
        process: usize,
    ) -> Result<(Self, Vec<Error>)> {
        let open = |adapter| Gpu::open(adapter, options);
        let mut candidates = adapter::candidates(choice)?;
        adapter::go_round(&mut candidates, process);
        let (gpu, passed_over) = adapter::open_first(choice, candidates, open)?;
        Ok((gpu.map_or(Self::Cpu, |gpu| Self::Gpu(Arc::new(gpu))), passed_over))
    }

    /// The best there is: a discrete GPU, then an integrated one, then a software adapter, then the
    /// CPU references.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn auto() -> Result<Self> {
        Ok(Self::open(&DeviceChoice::Auto, GpuOptions::default())?.0)
    }

    /// One line for people: the adapter's name, type, backend and driver.
    pub fn describe(&self) -> String {
        match self {
            Self::Gpu(gpu) => gpu.summary().to_string(),
            Self::Cpu => {
                format!("CPU reference, {} threads (no GPU is used)", rayon::current_num_threads())
            }
        }
    }

    /// What results to the bit depend on: the adapter's name, type, backend and driver, or "CPU
    /// reference", whose bits do not depend on the number of threads.
    pub fn identity(&self) -> String {
        match self {
            Self::Gpu(gpu) => gpu.summary().to_string(),
            Self::Cpu => "CPU reference".to_owned(),
        }
    }

    /// What a plan's schedules are chosen by.
    pub fn facts(&self) -> &Facts {
        match self {
            Self::Gpu(gpu) => gpu.facts(),
            Self::Cpu => &Facts::PORTABLE,
        }
    }

    /// Makes plans ready; they share the storages and reuse each other's scratch memory.
    pub fn load(&self, plans: Vec<Arc<Plan>>) -> Result<Box<dyn Executor>> {
        Ok(match self {
            Self::Gpu(gpu) => Box::new(GpuPrograms::new(Arc::clone(gpu), plans)?),
            Self::Cpu => Box::new(CpuPrograms::<f32>::new(plans)),
        })
    }
}
