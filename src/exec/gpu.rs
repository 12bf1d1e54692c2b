//! An opened adapter: its pipelines, its errors, single launches and downloads.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rayon::prelude::*;

use super::adapter::AdapterSummary;
use crate::kernels::{Access, Launch, UNIFORM_WINDOW};
use crate::plan::Plan;
use crate::{Error, Result};

/// Elements behind the last tensor of a buffer, so that a uniform window that begins in the buffer
/// also ends in it.
pub(super) const WINDOW: usize = UNIFORM_WINDOW as usize / 4;

/// How shaders are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Lets the driver check every index; for tests. Without, shaders run as written.
    pub checked: bool,
}

/// A pipeline is known by its kernel and the bits of its constants.
type PipelineKey = (&'static str, Vec<(&'static str, u64)>);

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bind_group_layout: wgpu::BindGroupLayout,
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
    pub(super) summary: AdapterSummary,
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
    pub(super) fn check(&self) -> Result<()> {
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
    pub(super) fn prepare(&self, plans: &[Arc<Plan>]) -> Result<()> {
        let steps = plans.iter().flat_map(|plan| plan.steps());
        for compilation in self.compile_all(steps.map(|step| &*step.kernel)) {
            compilation.result?;
        }
        self.check()
    }

    pub(super) fn pipeline(&self, kernel: &dyn Launch) -> Pipeline {
        self.pipelines.lock().expect("no holder of this lock panics")[&key(kernel)].clone()
    }

    /// A buffer with a plan's constants, where it has any.
    pub(super) fn constants(&self, plan: &Plan) -> Option<wgpu::Buffer> {
        let words = plan.constants();
        (!words.is_empty()).then(|| {
            let buffer = self.tensor_buffer("constants", words.len());
            self.queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
            buffer
        })
    }

    pub(super) fn tensor_buffer(&self, label: &str, elements: usize) -> wgpu::Buffer {
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
pub(super) fn bound_range<'a>(
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
