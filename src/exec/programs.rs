//! Replays plans on a GPU: bind groups are made once, a replay is one submit.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::gpu::{Gpu, WINDOW, bound_range};
use super::watch::Owned;
use super::{Arrival, Executor, Input, ProgramIndex};
use crate::error::Kind;
use crate::kernels::Element;
use crate::plan::{Arena, Home, Placement, Plan, STATUS_CLEAR, Storage, TensorId};
use crate::{Error, Result};

/// Replays that may be under way before the host waits: enough to hide recording and uploads,
/// few enough that staging memory stays small.
const IN_FLIGHT: usize = 2;

/// One step, ready to record.
pub(super) struct Recorded {
    pipeline: Owned<wgpu::ComputePipeline>,
    bind_group: Owned<wgpu::BindGroup>,
    workgroups: [u32; 3],
}

impl Recorded {
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &*self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

struct Program {
    plan: Arc<Plan>,
    placement: Placement,
    /// What the plan's constants hold, where it has any; programs may share it.
    constants: Option<Arc<Owned<wgpu::Buffer>>>,
    steps: Vec<Recorded>,
    /// Size of the buffer with the steps' parameters.
    parameter_bytes: u64,
}

/// Plans on a GPU over shared storages and arenas.
pub struct GpuPrograms {
    gpu: Arc<Gpu>,
    storages: HashMap<Storage, Owned<wgpu::Buffer>>,
    arenas: HashMap<Arena, Owned<wgpu::Buffer>>,
    programs: Vec<Program>,
    in_flight: VecDeque<wgpu::SubmissionIndex>,
}

impl GpuPrograms {
    /// Compiles what the plans need and makes their buffers; storages are zero, status words clear.
    ///
    /// # Errors
    /// A tensor is larger than the adapter can bind, or a kernel does not compile.
    pub fn new(gpu: Arc<Gpu>, plans: Vec<Arc<Plan>>) -> Result<Self> {
        let limits = gpu.limits();
        for plan in &plans {
            fits(plan, &limits, &gpu.summary.name)?;
        }
        gpu.prepare(&plans)?;

        let mut storages = HashMap::new();
        for storage in Storage::ALL {
            let length = plans.iter().map(|plan| plan.storage_length(storage)).max().unwrap_or(0);
            if length > 0 {
                storages.insert(storage, gpu.tensor_buffer(&format!("{storage:?}"), length)?);
            }
        }
        if let Some(status) = storages.get(&Storage::Status) {
            let words = vec![STATUS_CLEAR; status.size() as usize / 4];
            gpu.write(status, 0, bytemuck::cast_slice(&words))?;
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
            let limit = limits.max_buffer_size as usize / 4 - WINDOW;
            placements[index] = Placement::new(&plans[index], limit, &lengths);
            for (arena, length) in placements[index].arenas() {
                let longest = lengths.entry(arena).or_default();
                *longest = (*longest).max(length);
            }
        }
        let mut arenas = HashMap::new();
        for (arena, length) in lengths {
            arenas.insert(arena, gpu.tensor_buffer(&format!("{arena:?}"), length + WINDOW)?);
        }

        let mut this =
            Self { gpu, storages, arenas, programs: Vec::new(), in_flight: VecDeque::new() };
        for (plan, placement) in plans.into_iter().zip(placements) {
            // Batches of different sizes are computed with the same tables.
            let twin =
                this.programs.iter().find(|other| other.plan.constants() == plan.constants());
            let constants = match twin {
                Some(twin) => twin.constants.clone(),
                None => this.gpu.constants(&plan)?.map(Arc::new),
            };
            let (steps, parameter_bytes) = (Vec::new(), 0);
            let mut program = Program { plan, placement, constants, steps, parameter_bytes };
            (program.steps, program.parameter_bytes) = this.bind(&program)?;
            this.programs.push(program);
        }
        Ok(this)
    }

    /// Bytes of all buffers that live as long as the programs.
    pub fn device_bytes(&self) -> u64 {
        let constants = self.programs.iter().filter_map(|program| program.constants.as_ref());
        let constants: HashMap<_, _> =
            constants.map(|buffer| (Arc::as_ptr(buffer), buffer.size())).collect();
        let buffers = self.storages.values().chain(self.arenas.values());
        let parameters = self.programs.iter().map(|program| program.parameter_bytes);
        buffers.map(|buffer| buffer.size()).chain(constants.into_values()).chain(parameters).sum()
    }

    /// The steps, and the size of the buffer with their parameters.
    fn bind(&self, program: &Program) -> Result<(Vec<Recorded>, u64)> {
        let plan = &program.plan;
        // All parameter blocks of a plan lie in one uniform buffer.
        let stride = self.gpu.limits().min_uniform_buffer_offset_alignment.max(256) as usize;
        let mut blocks = vec![0; stride * plan.steps().len().max(1)];
        for (block, step) in blocks.chunks_mut(stride).zip(plan.steps()) {
            let params = step.launch.kernel.params();
            block[..params.len()].copy_from_slice(params);
        }
        let uniforms = self.gpu.uniforms("parameters of the steps", &blocks)?;

        let bind = |index: usize, step: &crate::plan::Step| {
            let pipeline = self.gpu.pipelines.get(&step.launch).expect("`prepare` made it");
            let kernel = &*step.launch.kernel;
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: (index * stride) as u64,
                    size: wgpu::BufferSize::new(kernel.params().len().next_multiple_of(16) as u64),
                }),
            }];
            for (number, (id, access)) in (1..).zip(step.uses()) {
                let (buffer, offset) = self.locate(program, id);
                let bytes = 4 * plan.tensor(id).length as u64;
                entries.push(wgpu::BindGroupEntry {
                    binding: number,
                    resource: bound_range(kernel, access, buffer, offset, bytes),
                });
            }
            let (name, layout) = (step.launch.shader.name, &pipeline.bind_group_layout);
            let bind_group = self.gpu.bind_group(name, layout, &entries)?;
            let workgroups = step.launch.grid.workgroups;
            let pipeline = self.gpu.watch.own(pipeline.pipeline);
            Ok(Recorded { pipeline, bind_group, workgroups })
        };
        let steps = plan.steps().iter().enumerate().map(|(index, step)| bind(index, step));
        Ok((steps.collect::<Result<_>>()?, uniforms.size()))
    }

    /// Sets a program's inputs for its next replay.
    pub(super) fn write(
        &self,
        program: ProgramIndex,
        inputs: &[(TensorId, Input<'_>)],
    ) -> Result<()> {
        let program = &self.programs[program];
        for &(id, input) in inputs {
            let (buffer, offset) = self.locate(program, id);
            let bytes: &[u8] = match input {
                Input::F32(values) => bytemuck::cast_slice(values),
                Input::U32(words) => bytemuck::cast_slice(words),
            };
            assert_eq!(bytes.len(), 4 * program.plan.tensor(id).length);
            self.gpu.write(buffer, offset, bytes)?;
        }
        Ok(())
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn recorded(&self, program: ProgramIndex) -> &[Recorded] {
        &self.programs[program].steps
    }

    /// The buffer and byte offset of a tensor.
    fn locate<'a>(&'a self, program: &'a Program, id: TensorId) -> (&'a wgpu::Buffer, u64) {
        match (program.plan.tensor(id).home, &program.constants) {
            (Home::Storage(storage, offset), _) => (&self.storages[&storage], 4 * offset as u64),
            (Home::Constant(offset), Some(constants)) => (constants, 4 * offset as u64),
            _ => {
                let (root, start) = program.plan.root(id);
                let (arena, offset) =
                    program.placement.get(root).expect("a tensor that a step binds has a place");
                (&self.arenas[&arena], 4 * (offset + start) as u64)
            }
        }
    }
}

/// Refuses a plan that an adapter of these limits cannot bind or dispatch.
///
/// # Errors
/// The first tensor or kernel that is too large ([`Kind::TooLarge`]).
pub fn fits(plan: &Plan, limits: &wgpu::Limits, adapter: &str) -> Result<()> {
    let too_large = |message| Error::of(Kind::TooLarge, message);
    for step in plan.steps() {
        for &id in &step.tensors {
            let tensor = plan.tensor(id);
            let bytes = 4 * tensor.length as u64;
            if bytes > limits.max_storage_buffer_binding_size {
                return Err(too_large(format!(
                    "{} needs {} MiB in one binding and {adapter} allows {} MiB",
                    tensor.name,
                    bytes.div_ceil(1 << 20),
                    limits.max_storage_buffer_binding_size >> 20,
                )));
            }
        }
        let most = step.launch.grid.workgroups.into_iter().max().unwrap_or(0);
        if most > limits.max_compute_workgroups_per_dimension {
            return Err(too_large(format!(
                "{} needs {most} workgroups in one dimension and {adapter} allows {}",
                step.launch.kernel.id(),
                limits.max_compute_workgroups_per_dimension,
            )));
        }
    }
    Ok(())
}

impl Executor for GpuPrograms {
    fn wait_until_ready(&mut self) -> Result<()> {
        while self.in_flight.len() >= IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            self.gpu.wait_for(oldest)?;
        }
        self.gpu.alive()
    }

    fn run(&mut self, program: ProgramIndex, inputs: &[(TensorId, Input<'_>)]) -> Result<()> {
        // Before the inputs are copied: a replay that is over gives its staging memory back.
        self.wait_until_ready()?;
        self.write(program, inputs)?;
        let program = &self.programs[program];
        let submission = self.gpu.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for step in &program.steps {
                step.record(&mut pass);
            }
        })?;
        self.in_flight.push_back(submission);
        Ok(())
    }

    fn send(&mut self, program: ProgramIndex, tensor: TensorId) -> Result<Arrival> {
        let program = &self.programs[program];
        let (buffer, offset) = self.locate(program, tensor);
        let bytes = 4 * program.plan.tensor(tensor).length as u64;
        let (gpu, download) = (Arc::clone(&self.gpu), self.gpu.send(buffer, offset, bytes)?);
        Ok(Box::new(move || gpu.receive(download)))
    }

    fn upload(&mut self, storage: Storage, values: &[f32]) -> Result<()> {
        assert_eq!(storage.element(), Element::F32);
        if let Some(buffer) = self.storages.get(&storage) {
            self.gpu.write(buffer, 0, bytemuck::cast_slice(values))?;
        }
        // Copied now, the staging memory is free for the inputs.
        let copied = self.gpu.submit(|_| {})?;
        self.gpu.wait_for(Some(copied))
    }

    fn download(&mut self, storage: Storage) -> Result<Vec<f32>> {
        assert_eq!(storage.element(), Element::F32);
        match self.storages.get(&storage) {
            None => Ok(Vec::new()),
            Some(buffer) => self.gpu.download(buffer, 0, buffer.size()),
        }
    }

    fn status(&mut self) -> Result<Vec<u32>> {
        match self.storages.get(&Storage::Status) {
            None => Ok(Vec::new()),
            Some(buffer) => self.gpu.download(buffer, 0, buffer.size()),
        }
    }

    fn wait(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.gpu.wait_for(None)
    }
}
