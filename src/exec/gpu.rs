//! An opened adapter: its buffers, its errors, single launches and downloads.

use std::fmt;
use std::sync::{Arc, Mutex};

use super::adapter::AdapterSummary;
use super::pipelines::Pipelines;
use crate::kernels::{Access, AnyKernel, Facts, Launch, UNIFORM_WINDOW};
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

/// An opened adapter and the pipelines compiled on it.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) summary: AdapterSummary,
    facts: Facts,
    pub(super) options: GpuOptions,
    pub(super) pipelines: Pipelines,
    /// The adapter, if its driver compiles a pipeline at its first launch only.
    pub(super) compiles_late: Option<wgpu::Adapter>,
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
        let info = adapter.get_info();
        let summary = AdapterSummary::of(&info);
        let facts = facts(&adapter, &info);
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
        let lavapipe = info.backend == wgpu::Backend::Vulkan && info.driver == "llvmpipe";
        let compiles_late = lavapipe.then_some(adapter);
        let pipelines = Pipelines::default();
        Ok(Self { device, queue, summary, facts, options, pipelines, compiles_late, trouble })
    }

    /// The adapter, for people.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// What schedules are chosen by.
    pub fn facts(&self) -> &Facts {
        &self.facts
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

    /// Compiles what the plans need.
    pub(super) fn prepare(&self, plans: &[Arc<Plan>]) -> Result<()> {
        let steps = plans.iter().flat_map(|plan| plan.steps());
        for compilation in self.compile_all(steps.map(|step| &step.launch)) {
            compilation.result?;
        }
        self.check()
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
        launch: &Launch,
        tensors: &[Vec<u8>],
        bind_from: u64,
    ) -> Result<Vec<Vec<u8>>> {
        let pipeline = match self.pipelines.get(launch) {
            Some(pipeline) => pipeline,
            None => self.compile(launch)?,
        };
        let kernel = &*launch.kernel;
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
            label: Some(launch.shader.name),
            layout: &pipeline.bind_group_layout,
            entries: &entries,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &bind_group, &[]);
            let [x, y, z] = launch.grid.workgroups;
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

    /// Copies bytes out of a buffer, after all work submitted before.
    pub(super) fn send(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Download {
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("download"),
            size: bytes,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let mut encoder = self.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        let submission = self.queue.submit([encoder.finish()]);
        staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        Download { staging, submission }
    }

    /// Waits for what [`Self::send`] copies.
    pub(super) fn receive(&self, download: Download) -> Result<wgpu::BufferView> {
        self.wait_for(Some(download.submission))?;
        download
            .staging
            .slice(..)
            .get_mapped_range()
            .map_err(|error| Error::failure(format!("{}: {error}", self.summary.name)))
    }

    /// Copies bytes out of a buffer, waiting for all work submitted before.
    pub(super) fn download(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<u8>> {
        Ok(self.receive(self.send(buffer, offset, bytes))?.to_vec())
    }
}

fn facts(adapter: &wgpu::Adapter, info: &wgpu::AdapterInfo) -> Facts {
    let limits = adapter.limits();
    let has_subgroups = adapter.features().contains(wgpu::Features::SUBGROUP);
    Facts {
        software: info.device_type == wgpu::DeviceType::Cpu,
        subgroup: has_subgroups.then_some([info.subgroup_min_size, info.subgroup_max_size]),
        workgroup_threads: limits.max_compute_invocations_per_workgroup,
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
    }
}

/// Bytes on their way to the host.
pub(super) struct Download {
    staging: wgpu::Buffer,
    submission: wgpu::SubmissionIndex,
}

/// The part of a buffer that a launch binds for a tensor at a byte offset.
pub(super) fn bound_range<'a>(
    kernel: &dyn AnyKernel,
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
