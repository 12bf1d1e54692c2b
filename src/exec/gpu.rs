//! Replays plans on a GPU: pipelines and bind groups are made once, a replay is one submit.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rayon::prelude::*;

use super::adapter::AdapterSummary;
use super::{Executor, Input, ProgramIndex};
use crate::kernels::{Access, Element, Launch, UNIFORM_WINDOW};
use crate::plan::{Arena, Home, Placement, Plan, STATUS_CLEAR, Storage, TensorId};
use crate::{Error, Result};

/// Replays that may be under way before the host waits: enough to hide recording and uploads,
/// few enough that staging memory stays small.
const IN_FLIGHT: usize = 2;

/// Elements behind the last tensor of a buffer, so that a uniform window that begins in the buffer
/// also ends in it.
const WINDOW: usize = UNIFORM_WINDOW as usize / 4;

/// How shaders are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Lets the driver check every index; for tests. Without, shaders run as written.
    pub checked: bool,
}

/// A pipeline is known by its kernel and the bits of its constants.
type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

#[derive(Clone, Debug)]
struct Pipeline {
    pipeline: wgpu::ComputePipeline,
    bind_group_layout: wgpu::BindGroupLayout,
}

/// How making one pipeline went.
#[derive(Debug)]
pub struct Compilation {
    /// Its identity.
    pub kernel: &'static str,
    /// By the host's clock.
    pub seconds: f64,
    /// What the driver said to it.
    pub result: Result<()>,
}

/// An opened adapter and the pipelines compiled on it.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    summary: AdapterSummary,
    options: GpuOptions,
    pipelines: Mutex<HashMap<PipelineKey, Pipeline>>,
    /// The first error that no call returned.
    trouble: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gpu({})", self.summary)
    }
}

impl Gpu {
    /// Opens an adapter with all that it allows.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn open(adapter: wgpu::Adapter, options: GpuOptions) -> Result<Self> {
        let summary = AdapterSummary::of(&adapter.get_info());
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("moodshader"),
            // For profiles; an adapter without them times by the host's clock.
            required_features: adapter.features() & wgpu::Features::TIMESTAMP_QUERY,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor))
            .map_err(|error| Error::failure(format!("cannot open {summary}: {error}")))?;
        let trouble = Arc::new(Mutex::new(None));
        let sink = Arc::clone(&trouble);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let mut first = sink.lock().expect("no holder of this lock panics");
            first.get_or_insert(error.to_string());
        }));
        Ok(Self { device, queue, summary, options, pipelines: Mutex::default(), trouble })
    }

    /// The adapter, for people.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// What the adapter allows.
    pub fn limits(&self) -> wgpu::Limits {
        self.device.limits()
    }

    /// The first error the device reported since the last call.
    fn check(&self) -> Result<()> {
        match self.trouble.lock().expect("no holder of this lock panics").take() {
            None => Ok(()),
            Some(message) => Err(Error::failure(format!("{}: {message}", self.summary.name))),
        }
    }

    pub(super) fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.device
            .poll(wgpu::PollType::Wait { submission_index: submission, timeout: None })
            .map_err(|error| Error::failure(format!("{}: {error}", self.summary.name)))?;
        self.check()
    }

    fn compile(&self, kernel: &dyn Launch) -> Result<Pipeline> {
        // Scopes belong to this thread: what is caught is this kernel's.
        let validation = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let internal = self.device.push_error_scope(wgpu::ErrorFilter::Internal);
        let pipeline = self.compile_unchecked(kernel);
        let error = pollster::block_on(internal.pop());
        match error.or(pollster::block_on(validation.pop())) {
            None => Ok(pipeline),
            Some(error) => Err(Error::failure(format!("{}: {error}", self.summary.name))),
        }
    }

    fn compile_unchecked(&self, kernel: &dyn Launch) -> Pipeline {
        let source = wgpu::ShaderModuleDescriptor {
            label: Some(kernel.id()),
            source: wgpu::ShaderSource::Wgsl(kernel.source().into()),
        };
        let module = if self.options.checked {
            self.device.create_shader_module(source)
        } else {
            // SAFETY: kernels index inside their bindings, whose lengths `Plan::step` checks and
            // whose shaders the tests run with checks on.
            unsafe {
                self.device
                    .create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked())
            }
        };
        let buffer = |binding, ty| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let mut entries = vec![buffer(0, wgpu::BufferBindingType::Uniform)];
        for (number, binding) in (1..).zip(kernel.bindings()) {
            entries.push(buffer(
                number,
                match binding.access {
                    Access::Uniform => wgpu::BufferBindingType::Uniform,
                    access => wgpu::BufferBindingType::Storage { read_only: access.reads() },
                },
            ));
        }
        let bind_group_layout =
            self.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(kernel.id()),
                entries: &entries,
            });
        let layout = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(kernel.id()),
            bind_group_layouts: &[Some(&bind_group_layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(kernel.id()),
            layout: Some(&layout),
            module: &module,
            entry_point: None,
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: &kernel.constants(),
                zero_initialize_workgroup_memory: self.options.checked,
            },
            cache: None,
        });
        Pipeline { pipeline, bind_group_layout }
    }

    /// Compiles, in parallel, what is not there yet.
    pub fn compile_all<'a>(
        &self,
        launches: impl IntoIterator<Item = &'a dyn Launch>,
    ) -> Vec<Compilation> {
        let mut wanted: HashMap<PipelineKey, &dyn Launch> = HashMap::new();
        {
            let known = self.pipelines.lock().expect("no holder of this lock panics");
            for launch in launches {
                let key = key(launch);
                if !known.contains_key(&key) {
                    wanted.entry(key).or_insert(launch);
                }
            }
        }
        let compiled: Vec<_> = wanted
            .into_par_iter()
            .map(|(key, kernel)| {
                let start = Instant::now();
                let pipeline = self.compile(kernel);
                (key, start.elapsed().as_secs_f64(), pipeline)
            })
            .collect();
        let mut known = self.pipelines.lock().expect("no holder of this lock panics");
        compiled
            .into_iter()
            .map(|(key, seconds, pipeline)| {
                let kernel = key.0;
                let result = pipeline.map(|pipeline| {
                    known.insert(key, pipeline);
                });
                Compilation { kernel, seconds, result }
            })
            .collect()
    }

    /// Compiles what the plans need.
    fn prepare(&self, plans: &[Arc<Plan>]) -> Result<()> {
        let steps = plans.iter().flat_map(|plan| plan.steps());
        for compilation in self.compile_all(steps.map(|step| &*step.kernel)) {
            compilation.result?;
        }
        self.check()
    }

    fn pipeline(&self, kernel: &dyn Launch) -> Pipeline {
        self.pipelines.lock().expect("no holder of this lock panics")[&key(kernel)].clone()
    }

    /// A buffer with a plan's constants, where it has any.
    fn constants(&self, plan: &Plan) -> Option<wgpu::Buffer> {
        let words = plan.constants();
        (!words.is_empty()).then(|| {
            let buffer = self.tensor_buffer("constants", words.len());
            self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
            buffer
        })
    }

    fn tensor_buffer(&self, label: &str, elements: usize) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size: 4 * elements.max(4) as u64,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::UNIFORM
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Runs one launch over buffers of its own and returns their bytes. The kernel sees each from
    /// byte `bind_from` on.
    pub(super) fn dispatch(
        &self,
        kernel: &dyn Launch,
        tensors: &[Vec<u8>],
        bind_from: u64,
    ) -> Result<Vec<Vec<u8>>> {
        let key = key(kernel);
        let known =
            self.pipelines.lock().expect("no holder of this lock panics").get(&key).cloned();
        let pipeline = match known {
            Some(pipeline) => pipeline,
            None => {
                let pipeline = self.compile(kernel)?;
                let mut pipelines = self.pipelines.lock().expect("no holder of this lock panics");
                pipelines.entry(key).or_insert(pipeline).clone()
            }
        };
        let params = kernel.params();
        let uniform = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters"),
            size: params.len().next_multiple_of(16) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&uniform, 0, params);
        let buffers: Vec<_> = kernel
            .bindings()
            .iter()
            .zip(tensors)
            .map(|(binding, bytes)| {
                let buffer = self.tensor_buffer(binding.name, bytes.len() / 4 + WINDOW);
                self.queue.write_buffer(&buffer, 0, bytes);
                buffer
            })
            .collect();
        let mut entries =
            vec![wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() }];
        let bound = kernel.bindings().iter().zip(buffers.iter().zip(tensors));
        for (number, (binding, (buffer, bytes))) in (1..).zip(bound) {
            let (access, bytes) = (binding.access, bytes.len() as u64 - bind_from);
            entries.push(wgpu::BindGroupEntry {
                binding: number,
                resource: bound_range(kernel, access, buffer, bind_from, bytes),
            });
        }
        let bind_group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.id()),
            layout: &pipeline.bind_group_layout,
            entries: &entries,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            let [x, y, z] = kernel.workgroups();
            pass.dispatch_workgroups(x, y, z);
        }
        self.queue.submit([encoder.finish()]);
        self.check()?;
        buffers
            .iter()
            .zip(tensors)
            .map(|(buffer, bytes)| self.download(buffer, 0, bytes.len() as u64))
            .collect()
    }

    /// Copies bytes out of a buffer, waiting for all work submitted before.
    pub(super) fn download(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>> {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("download"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        self.queue.submit([encoder.finish()]);
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        self.wait_for(None)?;
        let view = staging
            .slice(..)
            .get_mapped_range()
            .map_err(|error| Error::failure(format!("{}: {error}", self.summary.name)))?;
        Ok(view.to_vec())
    }
}

fn key(kernel: &dyn Launch) -> PipelineKey {
    let constants =
        kernel.constants().into_iter().map(|(name, value)| (name, value.to_bits())).collect();
    (kernel.id(), constants)
}

/// The part of a buffer that a launch binds for a tensor at a byte offset.
fn bound_range<'a>(
    kernel: &dyn Launch,
    access: Access,
    buffer: &'a wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> wgpu::BindingResource<'a> {
    let (offset, bytes) = match access {
        Access::Uniform => (offset + 4 * kernel.uniform_start() as u64, UNIFORM_WINDOW),
        _ => (offset, bytes),
    };
    let size = wgpu::BufferSize::new(bytes);
    wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset, size })
}

/// One step, ready to record.
pub(super) struct Recorded {
    pipeline: wgpu::ComputePipeline,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Recorded {
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

struct Program {
    plan: Arc<Plan>,
    placement: Placement,
    /// What the plan's constants hold, where it has any.
    constants: Option<wgpu::Buffer>,
    steps: Vec<Recorded>,
    /// Of the buffer with the steps' parameters.
    parameter_bytes: u64,
}

/// Plans on a GPU over shared storages and arenas.
pub struct GpuPrograms {
    gpu: Arc<Gpu>,
    storages: HashMap<Storage, wgpu::Buffer>,
    arenas: HashMap<Arena, wgpu::Buffer>,
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
            fits(plan, &limits, &gpu.summary)?;
        }
        gpu.prepare(&plans)?;

        let storages: HashMap<_, _> = Storage::ALL
            .into_iter()
            .filter_map(|storage| {
                let length = plans.iter().map(|plan| plan.storage_length(storage)).max()?;
                (length > 0).then(|| (storage, gpu.tensor_buffer(&format!("{storage:?}"), length)))
            })
            .collect();
        if let Some(status) = storages.get(&Storage::Status) {
            let words = vec![STATUS_CLEAR; status.size() as usize / 4];
            gpu.queue.write_buffer(status, 0, bytemuck::cast_slice(&words));
        }

        let placements: Vec<_> = plans
            .iter()
            .map(|plan| Placement::new(plan, limits.max_buffer_size as usize / 4))
            .collect();
        let mut lengths: HashMap<Arena, usize> = HashMap::new();
        for (arena, length) in placements.iter().flat_map(Placement::arenas) {
            let longest = lengths.entry(arena).or_default();
            *longest = (*longest).max(length);
        }
        let arenas: HashMap<_, _> = lengths
            .into_iter()
            .map(|(arena, length)| {
                (arena, gpu.tensor_buffer(&format!("{arena:?}"), length + WINDOW))
            })
            .collect();
        gpu.check()?;

        let mut this =
            Self { gpu, storages, arenas, programs: Vec::new(), in_flight: VecDeque::new() };
        for (plan, placement) in plans.into_iter().zip(placements) {
            let constants = this.gpu.constants(&plan);
            let (steps, parameter_bytes) = (Vec::new(), 0);
            let mut program = Program { plan, placement, constants, steps, parameter_bytes };
            (program.steps, program.parameter_bytes) = this.bind(&program);
            this.programs.push(program);
        }
        this.gpu.check()?;
        Ok(this)
    }

    /// Bytes of all buffers that live as long as the programs.
    pub fn device_bytes(&self) -> u64 {
        let constants = self.programs.iter().filter_map(|program| program.constants.as_ref());
        let buffers = self.storages.values().chain(self.arenas.values()).chain(constants);
        let parameters = self.programs.iter().map(|program| program.parameter_bytes);
        buffers.map(wgpu::Buffer::size).chain(parameters).sum()
    }

    /// The steps, and the size of the buffer with their parameters.
    fn bind(&self, program: &Program) -> (Vec<Recorded>, u64) {
        let plan = &program.plan;
        let device = &self.gpu.device;
        // All parameter blocks of a plan lie in one uniform buffer.
        let stride = device.limits().min_uniform_buffer_offset_alignment.max(256) as usize;
        let mut blocks = vec![0; stride * plan.steps().len()];
        for (block, step) in blocks.chunks_mut(stride).zip(plan.steps()) {
            let params = step.kernel.params();
            block[..params.len()].copy_from_slice(params);
        }
        let uniforms = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("parameters of the steps"),
            size: blocks.len().max(stride) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        self.gpu.queue.write_buffer(&uniforms, 0, &blocks);

        let bind = |index: usize, step: &crate::plan::Step| {
            let pipeline = self.gpu.pipeline(&*step.kernel);
            let mut entries = vec![wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &uniforms,
                    offset: (index * stride) as u64,
                    size: wgpu::BufferSize::new(
                        step.kernel.params().len().next_multiple_of(16) as u64
                    ),
                }),
            }];
            for (number, (id, access)) in (1..).zip(step.uses()) {
                let (buffer, offset) = self.locate(program, id);
                let bytes = 4 * plan.tensor(id).length as u64;
                entries.push(wgpu::BindGroupEntry {
                    binding: number,
                    resource: bound_range(&*step.kernel, access, buffer, offset, bytes),
                });
            }
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(step.kernel.id()),
                layout: &pipeline.bind_group_layout,
                entries: &entries,
            });
            Recorded {
                pipeline: pipeline.pipeline,
                bind_group,
                workgroups: step.kernel.workgroups(),
            }
        };
        let steps = plan.steps().iter().enumerate().map(|(index, step)| bind(index, step));
        (steps.collect(), uniforms.size())
    }

    /// Sets a program's inputs for its next replay.
    pub(super) fn write(&self, program: ProgramIndex, inputs: &[(TensorId, Input<'_>)]) {
        let program = &self.programs[program];
        for &(id, input) in inputs {
            let (buffer, offset) = self.locate(program, id);
            let bytes: &[u8] = match input {
                Input::F32(values) => bytemuck::cast_slice(values),
                Input::U32(words) => bytemuck::cast_slice(words),
            };
            assert_eq!(bytes.len(), 4 * program.plan.tensor(id).length);
            self.gpu.queue.write_buffer(buffer, offset, bytes);
        }
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

/// Refuses a plan that the adapter cannot bind, with what to change.
fn fits(plan: &Plan, limits: &wgpu::Limits, adapter: &AdapterSummary) -> Result<()> {
    for step in plan.steps() {
        for &id in &step.tensors {
            let tensor = plan.tensor(id);
            let bytes = 4 * tensor.length as u64;
            if bytes > limits.max_storage_buffer_binding_size {
                return Err(Error::input(format!(
                    "{} needs {} MiB in one binding and {} allows {} MiB; use a smaller batch \
                     (--set train.batch=…) or shorter clips",
                    tensor.name,
                    bytes.div_ceil(1 << 20),
                    adapter.name,
                    limits.max_storage_buffer_binding_size >> 20,
                )));
            }
        }
        let most = step.kernel.workgroups().into_iter().max().unwrap_or(0);
        if most > limits.max_compute_workgroups_per_dimension {
            return Err(Error::input(format!(
                "{} needs {most} workgroups in one dimension and {} allows {}; use a smaller \
                 batch (--set train.batch=…)",
                step.kernel.id(),
                adapter.name,
                limits.max_compute_workgroups_per_dimension,
            )));
        }
    }
    Ok(())
}

impl Executor for GpuPrograms {
    fn run(&mut self, program: ProgramIndex, inputs: &[(TensorId, Input<'_>)]) -> Result<()> {
        self.write(program, inputs);
        let program = &self.programs[program];
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            for step in &program.steps {
                step.record(&mut pass);
            }
        }
        self.in_flight.push_back(self.gpu.queue.submit([encoder.finish()]));
        if self.in_flight.len() > IN_FLIGHT {
            let oldest = self.in_flight.pop_front();
            self.gpu.wait_for(oldest)?;
        }
        self.gpu.check()
    }

    fn read(&mut self, program: ProgramIndex, tensor: TensorId) -> Result<Vec<f32>> {
        let program = &self.programs[program];
        let (buffer, offset) = self.locate(program, tensor);
        let bytes = 4 * program.plan.tensor(tensor).length as u64;
        let bytes = self.gpu.download(buffer, offset, bytes)?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    fn upload(&mut self, storage: Storage, values: &[f32]) -> Result<()> {
        assert_eq!(storage.element(), Element::F32);
        if let Some(buffer) = self.storages.get(&storage) {
            self.gpu.queue.write_buffer(buffer, 0, bytemuck::cast_slice(values));
        }
        self.gpu.check()
    }

    fn download(&mut self, storage: Storage) -> Result<Vec<f32>> {
        assert_eq!(storage.element(), Element::F32);
        match self.storages.get(&storage) {
            None => Ok(Vec::new()),
            Some(buffer) => {
                let bytes = self.gpu.download(buffer, 0, buffer.size())?;
                Ok(bytemuck::pod_collect_to_vec(&bytes))
            }
        }
    }

    fn status(&mut self) -> Result<Vec<u32>> {
        match self.storages.get(&Storage::Status) {
            None => Ok(Vec::new()),
            Some(buffer) => {
                let bytes = self.gpu.download(buffer, 0, buffer.size())?;
                Ok(bytemuck::pod_collect_to_vec(&bytes))
            }
        }
    }

    fn wait(&mut self) -> Result<()> {
        self.in_flight.clear();
        self.gpu.wait_for(None)
    }
}
