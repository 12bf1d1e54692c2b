//! Replays plans on a GPU: bind groups are made once, a replay is one submit.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::gpu::Gpu;
use super::watch::Owned;
use super::{Arrival, Executor, Input, ProgramIndex};
use crate::error::Kind;
use crate::kernels::Element;
use crate::plan::{Allocation, Memory, Plan, STATUS_CLEAR, Step, Storage, TensorId};
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

/// Plans on a GPU over shared storages and arenas.
pub struct GpuPrograms {
    gpu: Arc<Gpu>,
    allocation: Allocation,
    /// Those of the allocation.
    buffers: Vec<Owned<wgpu::Buffer>>,
    /// The steps of each plan.
    programs: Vec<Vec<Recorded>>,
    /// Bytes of the buffers with the steps' parameters.
    parameter_bytes: u64,
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
        let allocation = Allocation::new(plans, limits.max_buffer_size as usize / 4);
        let buffers = allocation.buffers().iter().map(|buffer| {
            let made = gpu.tensor_buffer(&format!("{:?}", buffer.memory), buffer.elements)?;
            let words = match buffer.memory {
                Memory::Constants(plan) => allocation.plans()[plan].constants(),
                Memory::Storage(Storage::Status) => &vec![STATUS_CLEAR; buffer.elements],
                Memory::Storage(_) | Memory::Arena(_) => return Ok(made),
            };
            gpu.write(&made, 0, bytemuck::cast_slice(words))?;
            Ok(made)
        });
        let buffers = buffers.collect::<Result<_>>()?;
        let mut this = Self {
            gpu,
            allocation,
            buffers,
            programs: Vec::new(),
            parameter_bytes: 0,
            in_flight: VecDeque::new(),
        };
        for index in 0..this.allocation.plans().len() {
            let (steps, bytes) = this.bind(index)?;
            this.programs.push(steps);
            this.parameter_bytes += bytes;
        }
        Ok(this)
    }

    /// Bytes of all buffers that live as long as the programs.
    pub fn device_bytes(&self) -> u64 {
        self.parameter_bytes + self.buffers.iter().map(|buffer| buffer.size()).sum::<u64>()
    }

    /// The steps of a plan, and the size of the buffer with their parameters.
    fn bind(&self, program: ProgramIndex) -> Result<(Vec<Recorded>, u64)> {
        let plan = &self.allocation.plans()[program];
        // All parameter blocks of a plan lie in one uniform buffer.
        let stride = self.gpu.limits().min_uniform_buffer_offset_alignment.max(256) as usize;
        let mut blocks = vec![0; stride * plan.steps().len().max(1)];
        for (block, step) in blocks.chunks_mut(stride).zip(plan.steps()) {
            let params = step.launch.kernel.params();
            block[..params.len()].copy_from_slice(params);
        }
        let uniforms = self.gpu.uniforms("parameters of the steps", &blocks)?;

        let bind = |index: usize, step: &Step| {
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
            for (number, range) in (1..).zip(self.allocation.bindings(program, step)) {
                entries.push(wgpu::BindGroupEntry {
                    binding: number,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &self.buffers[range.buffer],
                        offset: range.offset,
                        size: wgpu::BufferSize::new(range.size),
                    }),
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
        for &(id, input) in inputs {
            let range = self.allocation.range(program, id);
            let bytes: &[u8] = match input {
                Input::F32(values) => bytemuck::cast_slice(values),
                Input::U32(words) => bytemuck::cast_slice(words),
            };
            assert_eq!(bytes.len() as u64, range.size);
            self.gpu.write(&self.buffers[range.buffer], range.offset, bytes)?;
        }
        Ok(())
    }

    fn start(&self, program: ProgramIndex, steps: Range<usize>) -> Result<wgpu::SubmissionIndex> {
        self.gpu.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for step in &self.programs[program][steps] {
                step.record(&mut pass);
            }
        })
    }

    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    pub(super) fn recorded(&self, program: ProgramIndex) -> &[Recorded] {
        &self.programs[program]
    }

    fn storage(&self, storage: Storage) -> Option<&wgpu::Buffer> {
        let place = self.allocation.place(Memory::Storage(storage))?;
        Some(&self.buffers[place])
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

    fn run_to(
        &mut self,
        program: ProgramIndex,
        inputs: &[(TensorId, Input<'_>)],
        steps: usize,
    ) -> Result<()> {
        // Before the inputs are copied: a replay that is over gives its staging memory back.
        self.wait_until_ready()?;
        self.write(program, inputs)?;
        let submission = self.start(program, 0..steps.min(self.programs[program].len()))?;
        self.in_flight.push_back(submission);
        Ok(())
    }

    fn go_on_from(&mut self, program: ProgramIndex, steps: usize) -> Result<()> {
        let submission = self.start(program, steps..self.programs[program].len())?;
        // One replay: it is over when its last part is.
        self.in_flight.pop_back();
        self.in_flight.push_back(submission);
        Ok(())
    }

    fn send(&mut self, program: ProgramIndex, tensor: TensorId) -> Result<Arrival> {
        let range = self.allocation.range(program, tensor);
        let buffer = &self.buffers[range.buffer];
        let download = self.gpu.send(buffer, range.offset, range.size)?;
        let gpu = Arc::clone(&self.gpu);
        Ok(Box::new(move || gpu.receive(download)))
    }

    fn send_stored(&mut self, storage: Storage, elements: Range<usize>) -> Result<Arrival> {
        assert_eq!(storage.element(), Element::F32);
        let length = elements.len();
        let stored = self.storage(storage).and_then(|buffer| {
            let end = elements.end.min(buffer.size() as usize / 4);
            (elements.start < end).then_some((buffer, elements.start..end))
        });
        let Some((buffer, stored)) = stored else {
            return Ok(Box::new(move || Ok(vec![0.0; length])));
        };
        let download = self.gpu.send(buffer, 4 * stored.start as u64, 4 * stored.len() as u64)?;
        let gpu = Arc::clone(&self.gpu);
        Ok(Box::new(move || {
            let mut numbers: Vec<f32> = gpu.receive(download)?;
            numbers.resize(length, 0.0);
            Ok(numbers)
        }))
    }

    fn upload(&mut self, storage: Storage, values: &[f32]) -> Result<()> {
        assert_eq!(storage.element(), Element::F32);
        if let Some(buffer) = self.storage(storage) {
            self.gpu.write(buffer, 0, bytemuck::cast_slice(values))?;
        }
        // Copied now, the staging memory is free for the inputs.
        let copied = self.gpu.submit(|_| {})?;
        self.gpu.wait_for(Some(copied))
    }

    fn download(&mut self, storage: Storage) -> Result<Vec<f32>> {
        assert_eq!(storage.element(), Element::F32);
        match self.storage(storage) {
            None => Ok(Vec::new()),
            Some(buffer) => self.gpu.download(buffer, 0, buffer.size()),
        }
    }

    fn status(&mut self) -> Result<Vec<u32>> {
        match self.storage(Storage::Status) {
            None => Ok(Vec::new()),
            Some(buffer) => self.gpu.download(buffer, 0, buffer.size()),
        }
    }

    fn wait(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.gpu.wait_for(None)
    }
}
