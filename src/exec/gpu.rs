//! An opened adapter: its buffers, submissions, single launches and downloads.

use std::fmt;
use std::sync::Arc;

use bytemuck::Pod;

use super::adapter::AdapterSummary;
use super::pipelines::Pipelines;
use super::watch::{Owned, Watch};
use crate::kernels::{Facts, Launch};
use crate::panics::caught;
use crate::plan::{Plan, WINDOW};
use crate::{Error, Result};

/// What is used where an adapter has it: clocks for profiles, and subgroups, which schedules are chosen by.
pub(super) const FEATURES: wgpu::Features =
    wgpu::Features::TIMESTAMP_QUERY.union(wgpu::Features::SUBGROUP);

/// How shaders are compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuOptions {
    /// Lets the driver check every index; for tests. Without, shaders run as written.
    pub checked: bool,
}

/// An opened adapter and the pipelines compiled on it.
pub struct Gpu {
    pub(super) device: Owned<wgpu::Device>,
    pub(super) queue: Owned<wgpu::Queue>,
    pub(super) summary: AdapterSummary,
    facts: Facts,
    pub(super) options: GpuOptions,
    pub(super) pipelines: Owned<Pipelines>,
    /// The adapter, if its driver compiles a pipeline at its first launch only.
    pub(super) compiles_late: Option<wgpu::Adapter>,
    pub(super) watch: Watch,
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
            required_features: adapter.features() & FEATURES,
            required_limits: adapter.limits(),
            ..Default::default()
        };
        let (device, queue, watch) = open(&adapter, &descriptor, &summary)?;
        let lavapipe = info.backend == wgpu::Backend::Vulkan && info.driver == "llvmpipe";
        let compiles_late = lavapipe.then_some(adapter);
        let pipelines = watch.own(Pipelines::default());
        Ok(Self { device, queue, summary, facts, options, pipelines, compiles_late, watch })
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

    /// Whether it can still be used.
    ///
    /// # Errors
    /// [`Kind::DeviceLost`](crate::error::Kind::DeviceLost), or
    /// [`Kind::OutOfMemory`](crate::error::Kind::OutOfMemory) where that is how it was lost.
    pub fn alive(&self) -> Result<()> {
        self.watch.alive()
    }

    pub(super) fn wait_for(&self, submission: Option<wgpu::SubmissionIndex>) -> Result<()> {
        self.watch.attempt(|| {
            let until = wgpu::PollType::Wait { submission_index: submission, timeout: None };
            match self.device.poll(until) {
                Ok(_) => Ok(()),
                Err(error) => Err(self.watch.failure(&error)),
            }
        })
    }

    /// Records commands and submits them.
    pub(super) fn submit(
        &self,
        record: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Result<wgpu::SubmissionIndex> {
        self.watch.attempt(|| {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            record(&mut encoder);
            Ok(self.queue.submit([encoder.finish()]))
        })
    }

    /// Writes into a buffer before the next submission.
    pub(super) fn write(&self, buffer: &wgpu::Buffer, offset: u64, bytes: &[u8]) -> Result<()> {
        self.watch.attempt(|| {
            self.queue.write_buffer(buffer, offset, bytes);
            Ok(())
        })
    }

    pub(super) fn buffer(
        &self,
        label: &str,
        size: u64,
        usage: wgpu::BufferUsages,
    ) -> Result<Owned<wgpu::Buffer>> {
        self.watch.attempt(|| {
            let mapped_at_creation = false;
            let label = Some(label);
            let descriptor = wgpu::BufferDescriptor { label, size, usage, mapped_at_creation };
            Ok(self.watch.own(self.device.create_buffer(&descriptor)))
        })
    }

    pub(super) fn bind_group(
        &self,
        label: &str,
        layout: &wgpu::BindGroupLayout,
        entries: &[wgpu::BindGroupEntry<'_>],
    ) -> Result<Owned<wgpu::BindGroup>> {
        self.watch.attempt(|| {
            let descriptor = wgpu::BindGroupDescriptor { label: Some(label), layout, entries };
            Ok(self.watch.own(self.device.create_bind_group(&descriptor)))
        })
    }

    /// Compiles what the plans need.
    pub(super) fn prepare(&self, plans: &[Arc<Plan>]) -> Result<()> {
        let steps = plans.iter().flat_map(|plan| plan.steps());
        for compilation in self.compile_all(steps.map(|step| &step.launch)) {
            compilation.result?;
        }
        Ok(())
    }

    pub(super) fn tensor_buffer(
        &self,
        label: &str,
        elements: usize,
    ) -> Result<Owned<wgpu::Buffer>> {
        let usage = wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST;
        self.buffer(label, 4 * elements.max(4) as u64, usage)
    }

    /// A buffer of kernels' parameters.
    pub(super) fn uniforms(&self, label: &str, bytes: &[u8]) -> Result<Owned<wgpu::Buffer>> {
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let buffer = self.buffer(label, bytes.len().next_multiple_of(16) as u64, usage)?;
        self.write(&buffer, 0, bytes)?;
        Ok(buffer)
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
        let uniform = self.uniforms("parameters", kernel.params())?;
        let buffers = kernel
            .bindings()
            .iter()
            .zip(tensors)
            .map(|(binding, bytes)| {
                let buffer = self.tensor_buffer(binding.name, bytes.len() / 4 + WINDOW)?;
                self.write(&buffer, 0, bytes)?;
                Ok(buffer)
            })
            .collect::<Result<Vec<_>>>()?;
        let mut entries =
            vec![wgpu::BindGroupEntry { binding: 0, resource: uniform.as_entire_binding() }];
        let bound = kernel.bindings().iter().zip(buffers.iter().zip(tensors));
        for (number, (binding, (buffer, bytes))) in (1..).zip(bound) {
            let size = bytes.len() as u64 - bind_from;
            let (offset, size) = launch.bound(binding.access, bind_from, size);
            let size = wgpu::BufferSize::new(size);
            let part = wgpu::BufferBinding { buffer, offset, size };
            let resource = wgpu::BindingResource::Buffer(part);
            entries.push(wgpu::BindGroupEntry { binding: number, resource });
        }
        let layout = &pipeline.bind_group_layout;
        let bind_group = self.bind_group(launch.shader.name, layout, &entries)?;
        self.submit(|encoder| {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(&pipeline.pipeline);
            pass.set_bind_group(0, &*bind_group, &[]);
            let [x, y, z] = launch.grid.workgroups;
            pass.dispatch_workgroups(x, y, z);
        })?;
        buffers
            .iter()
            .zip(tensors)
            .map(|(buffer, bytes)| self.download(buffer, 0, bytes.len() as u64))
            .collect()
    }

    /// Copies bytes out of a buffer, after all work submitted before.
    pub(super) fn send(&self, buffer: &wgpu::Buffer, offset: u64, bytes: u64) -> Result<Download> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        let staging = self.buffer("download", bytes, usage)?;
        let submission = self.submit(|encoder| {
            encoder.copy_buffer_to_buffer(buffer, offset, &staging, 0, bytes);
        })?;
        self.watch.attempt(|| {
            staging.slice(..).map_async(wgpu::MapMode::Read, |_| {});
            Ok(())
        })?;
        Ok(Download { staging, submission })
    }

    /// Waits for what [`Self::send`] copies.
    pub(super) fn receive<T: Pod>(&self, download: Download) -> Result<Vec<T>> {
        let Download { staging, submission } = download;
        self.wait_for(Some(submission))?;
        self.watch.attempt(|| match staging.slice(..).get_mapped_range() {
            Ok(bytes) => Ok(bytemuck::pod_collect_to_vec(&bytes)),
            Err(error) => Err(self.watch.failure(&error)),
        })
    }

    /// Copies elements out of a buffer, waiting for all work submitted before.
    pub(super) fn download<T: Pod>(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<T>> {
        self.receive(self.send(buffer, offset, bytes)?)
    }
}

/// Opens a device of an adapter and follows what becomes of it.
pub(super) fn open(
    adapter: &wgpu::Adapter,
    descriptor: &wgpu::DeviceDescriptor<'_>,
    summary: &AdapterSummary,
) -> Result<(Owned<wgpu::Device>, Owned<wgpu::Queue>, Watch)> {
    let failure = |why: &dyn fmt::Display| Error::failure(format!("cannot open {summary}: {why}"));
    let (device, queue) = caught(|| pollster::block_on(adapter.request_device(descriptor)))
        .map_err(|message| failure(&message))?
        .map_err(|error| failure(&error))?;
    let watch = Watch::new(&device, &summary.name);
    Ok((watch.own(device), watch.own(queue), watch))
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
    staging: Owned<wgpu::Buffer>,
    submission: wgpu::SubmissionIndex,
}
