//! Makes pipelines, on all cores.
//!
//! Most drivers compile a shader when its pipeline is made, and let several threads do so at once.
//! Mesa's software adapter compiles when a pipeline is first launched, on the one thread of the
//! device. There, every core opens a device of its own and launches its share of the pipelines with
//! no workgroups; the driver's shader cache hands the machine code to the device that does the work.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::Gpu;
use super::adapter::AdapterSummary;
use super::gpu::{FEATURES, open};
use super::watch::{Owned, Watch};
use crate::Result;
use crate::kernels::{Access, Launch, PipelineKey, UNIFORM_WINDOW};

/// Pipelines to compile for which another device is worth opening.
const WORTH_A_DEVICE: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) bind_group_layout: wgpu::BindGroupLayout,
}

/// The pipelines of a device.
#[derive(Default)]
pub(super) struct Pipelines(Mutex<HashMap<PipelineKey, Pipeline>>);

impl Pipelines {
    pub(super) fn get(&self, launch: &Launch) -> Option<Pipeline> {
        self.0.lock().expect("no holder of this lock panics").get(&launch.pipeline_key()).cloned()
    }

    fn keep(&self, launch: &Launch, pipeline: Pipeline) {
        self.0
            .lock()
            .expect("no holder of this lock panics")
            .insert(launch.pipeline_key(), pipeline);
    }
}

/// How making one pipeline went.
#[derive(Debug)]
pub struct Compilation {
    /// The schedule's name.
    pub schedule: &'static str,
    /// By the host's clock; on an adapter that compiles at the first launch, that included.
    pub seconds: f64,
    /// What the driver said to it.
    pub result: Result<()>,
}

impl Gpu {
    pub(super) fn compile(&self, launch: &Launch) -> Result<Pipeline> {
        let pipeline = self.watch.attempt(|| {
            compile(&self.device, self.options.checked, launch)
                .map_err(|error| self.watch.failure(&error))
        })?;
        self.pipelines.keep(launch, pipeline.clone());
        Ok(pipeline)
    }

    /// Compiles, in parallel, what is not there yet.
    pub fn compile_all<'a>(
        &self,
        launches: impl IntoIterator<Item = &'a Launch>,
    ) -> Vec<Compilation> {
        let mut wanted: HashMap<PipelineKey, &Launch> = HashMap::new();
        for launch in launches {
            if self.pipelines.get(launch).is_none() {
                wanted.entry(launch.pipeline_key()).or_insert(launch);
            }
        }
        let mut wanted: Vec<_> = wanted.into_values().collect();
        // Long shaders first, so that no core is left with one at the end.
        wanted.sort_by_cached_key(|launch| {
            Reverse((launch.shader.source.len(), launch.pipeline_key()))
        });

        let next = AtomicUsize::new(0);
        let compile_next = |launcher: Option<&Launcher>| {
            let launch = *wanted.get(next.fetch_add(1, Ordering::Relaxed))?;
            let start = Instant::now();
            let result = self.compile(launch).map(|pipeline| {
                if let Some(launcher) = launcher {
                    launcher.launch_nothing(launch, pipeline, self.options.checked);
                }
            });
            Some(Compilation {
                schedule: launch.shader.name,
                seconds: start.elapsed().as_secs_f64(),
                result,
            })
        };
        let work = |helps: bool| {
            let launcher = match &self.compiles_late {
                None => None,
                Some(adapter) if helps => Some(Launcher::helping(adapter, &self.summary).ok()?),
                Some(_) => Launcher::of(self).ok(),
            };
            Some(std::iter::from_fn(|| compile_next(launcher.as_ref())).collect::<Vec<_>>())
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let share = if self.compiles_late.is_some() { WORTH_A_DEVICE } else { 1 };
        let helpers = cores.min(wanted.len().div_ceil(share)).saturating_sub(1);
        thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(|| work(true))).collect();
            let mut compilations = work(false).unwrap_or_default();
            for helper in helpers {
                let done = helper.join().expect("compiling does not panic");
                compilations.extend(done.unwrap_or_default());
            }
            compilations
        })
    }
}

/// Makes a pipeline, or says what the driver or the validator found.
fn compile(
    device: &wgpu::Device,
    checked: bool,
    launch: &Launch,
) -> std::result::Result<Pipeline, wgpu::Error> {
    // Scopes belong to this thread: what is caught is this kernel's.
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let internal = device.push_error_scope(wgpu::ErrorFilter::Internal);
    let pipeline = create(device, checked, launch);
    let error = pollster::block_on(internal.pop());
    match error.or(pollster::block_on(validation.pop())) {
        None => Ok(pipeline),
        Some(error) => Err(error),
    }
}

fn create(device: &wgpu::Device, checked: bool, launch: &Launch) -> Pipeline {
    let label = Some(launch.shader.name);
    let source = wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(launch.shader.source.into()),
    };
    let module = if checked {
        device.create_shader_module(source)
    } else {
        // SAFETY: kernels index inside their bindings, whose lengths `Plan::step` checks and
        // whose shaders the tests run with checks on.
        unsafe {
            device.create_shader_module_trusted(source, wgpu::ShaderRuntimeChecks::unchecked())
        }
    };
    let buffer = |binding, ty| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    };
    let mut entries = vec![buffer(0, wgpu::BufferBindingType::Uniform)];
    for (number, binding) in (1..).zip(launch.kernel.bindings()) {
        entries.push(buffer(
            number,
            match binding.access {
                Access::Uniform => wgpu::BufferBindingType::Uniform,
                access => wgpu::BufferBindingType::Storage { read_only: access.reads() },
            },
        ));
    }
    let bind_group_layout = device
        .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries });
    let layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label,
        bind_group_layouts: &[Some(&bind_group_layout)],
        immediate_size: 0,
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: Some(&layout),
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &launch.grid.constants,
            zero_initialize_workgroup_memory: checked,
        },
        cache: None,
    });
    Pipeline { pipeline, bind_group_layout }
}

/// A device that launches pipelines with no workgroups, and memory for them to bind.
struct Launcher {
    device: Owned<wgpu::Device>,
    queue: Owned<wgpu::Queue>,
    /// Whether it is a further device, which needs pipelines of its own.
    helps: bool,
    read: Owned<wgpu::Buffer>,
    written: Owned<wgpu::Buffer>,
    watch: Watch,
}

impl Launcher {
    fn of(gpu: &Gpu) -> Result<Self> {
        let watch = gpu.watch.clone();
        let device = watch.own(gpu.device.clone());
        let queue = watch.own(gpu.queue.clone());
        Self::new(device, queue, watch, false)
    }

    /// A further device of the adapter.
    fn helping(adapter: &wgpu::Adapter, summary: &AdapterSummary) -> Result<Self> {
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("moodshader, compiling"),
            required_features: adapter.features() & FEATURES,
            required_limits: adapter.limits(),
            memory_hints: wgpu::MemoryHints::MemoryUsage,
            ..Default::default()
        };
        let (device, queue, watch) = open(adapter, &descriptor, summary)?;
        Self::new(device, queue, watch, true)
    }

    fn new(
        device: Owned<wgpu::Device>,
        queue: Owned<wgpu::Queue>,
        watch: Watch,
        helps: bool,
    ) -> Result<Self> {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("nothing"),
                size: UNIFORM_WINDOW,
                usage,
                mapped_at_creation: false,
            })
        };
        let (read, written) = watch.attempt(|| {
            let read = buffer(wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::UNIFORM);
            Ok((watch.own(read), watch.own(buffer(wgpu::BufferUsages::STORAGE))))
        })?;
        Ok(Self { device, queue, helps, read, written, watch })
    }

    fn launch_nothing(&self, launch: &Launch, pipeline: Pipeline, checked: bool) {
        let Self { device, queue, read, written, .. } = self;
        // What fails here is no trouble: the pipeline is then compiled when it is first used.
        let _ = self.watch.attempt(|| {
            let pipeline = if self.helps { create(device, checked, launch) } else { pipeline };
            let buffers = launch.kernel.bindings().iter();
            let buffers = buffers.map(|b| if b.access.reads() { read } else { written });
            let entries: Vec<_> = (0..)
                .zip([read].into_iter().chain(buffers))
                .map(|(binding, buffer)| wgpu::BindGroupEntry {
                    binding,
                    resource: buffer.as_entire_binding(),
                })
                .collect();
            let bind_group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(launch.shader.name),
                layout: &pipeline.bind_group_layout,
                entries: &entries,
            });
            let mut encoder = device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&pipeline.pipeline);
                pass.set_bind_group(0, &bind_group, &[]);
                pass.dispatch_workgroups(0, 0, 0);
            }
            let submission_index = Some(queue.submit([encoder.finish()]));
            let _ = device.poll(wgpu::PollType::Wait { submission_index, timeout: None });
            Ok(())
        });
    }
}
