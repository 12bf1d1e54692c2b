//! Mesa's Vulkan driver for AMD's GPUs as a compiler: a device without a card, and what it says of the
//! pipelines that it makes.

use std::collections::HashMap;
use std::ffi::CString;

use ash::{Device, Entry, Instance, khr, vk};
use moodshader::kernels::{Access, Binding, Facts};
use moodshader::{Error, Result};

use super::pipelines::Translated;

/// The version of SPIR-V that wgpu writes for Vulkan 1.3.
pub const SPIRV: (u8, u8) = (1, 6);

/// A device of the chip that `RADV_FORCE_FAMILY` names.
pub struct Radv {
    instance: Instance,
    device: Device,
    executables: khr::pipeline_executable_properties::Device,
    /// What the driver calls the chip.
    pub chip: String,
    /// `Mesa 25.0.7-2`
    pub version: String,
    pub facts: Facts,
    /// Keeps the loader's library open; dropped last.
    _entry: Entry,
}

/// What the driver made of a shader.
#[derive(Debug)]
pub struct Compiled {
    /// By the driver's names.
    pub statistics: HashMap<String, u64>,
    pub assembly: String,
    /// Threads that run in step.
    pub subgroup: u32,
}

fn failed(what: &str) -> impl Fn(vk::Result) -> Error + '_ {
    move |error| Error::failure(format!("RADV: {what} failed: {error}"))
}

impl Radv {
    /// None where the driver knows no such chip.
    pub fn open() -> Result<Option<Self>> {
        // SAFETY: the loader's library is trusted as it is for wgpu, and kept open in `_entry`.
        let entry = unsafe { Entry::load() }.map_err(|error| {
            Error::input(format!(
                "the Vulkan loader cannot be opened ({error}); on Debian and Ubuntu apt-get install \
                 libvulkan1"
            ))
        })?;
        let application = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_3);
        let description = vk::InstanceCreateInfo::default().application_info(&application);
        // SAFETY: the description is complete, and `Radv` destroys the instance.
        let instance = match unsafe { entry.create_instance(&description, None) } {
            Ok(instance) => instance,
            Err(vk::Result::ERROR_INCOMPATIBLE_DRIVER) => return Ok(None),
            Err(error) => return Err(failed("making an instance")(error)),
        };
        let opened = open_device(&instance);
        let Ok(Some((device, properties))) = opened else {
            // SAFETY: nothing was made of it that still lives.
            unsafe { instance.destroy_instance(None) };
            return opened.map(|_| None);
        };
        let executables = khr::pipeline_executable_properties::Device::new(&instance, &device);
        let Properties { chip, version, facts } = properties;
        Ok(Some(Self { instance, device, executables, chip, version, facts, _entry: entry }))
    }

    /// Compiles a compute shader that binds a uniform block at 0, and then these.
    pub fn compile(&self, shader: &Translated, bindings: &[Binding]) -> Result<Compiled> {
        let mut made = Made::new(&self.device);
        let kinds = [Access::Uniform].into_iter().chain(bindings.iter().map(|b| b.access));
        let bindings: Vec<_> = (0..)
            .zip(kinds)
            .map(|(number, access)| {
                vk::DescriptorSetLayoutBinding::default()
                    .binding(number)
                    .descriptor_type(match access {
                        Access::Uniform => vk::DescriptorType::UNIFORM_BUFFER,
                        _ => vk::DescriptorType::STORAGE_BUFFER,
                    })
                    .descriptor_count(1)
                    .stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        let module = vk::ShaderModuleCreateInfo::default().code(&shader.words);
        let entry_point = CString::new(&*shader.entry_point)
            .map_err(|error| Error::failure(error.to_string()))?;
        // SAFETY: the descriptions are complete, the SPIR-V is valid as naga writes it, and `made`
        // destroys what was made.
        unsafe {
            made.set = self
                .device
                .create_descriptor_set_layout(&set, None)
                .map_err(failed("making a layout"))?;
            let sets = [made.set];
            let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets);
            made.layout = self
                .device
                .create_pipeline_layout(&layout, None)
                .map_err(failed("making a layout"))?;
            made.module = self
                .device
                .create_shader_module(&module, None)
                .map_err(failed("reading SPIR-V"))?;
            let stage = vk::PipelineShaderStageCreateInfo::default()
                .stage(vk::ShaderStageFlags::COMPUTE)
                .module(made.module)
                .name(&entry_point);
            let pipeline = vk::ComputePipelineCreateInfo::default()
                .flags(
                    vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                        | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR,
                )
                .stage(stage)
                .layout(made.layout);
            made.pipeline = self
                .device
                .create_compute_pipelines(vk::PipelineCache::null(), &[pipeline], None)
                .map_err(|(_, error)| failed("compiling")(error))?[0];
        }
        self.read(made.pipeline)
    }

    fn read(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let subgroup = {
            let info = vk::PipelineInfoKHR::default().pipeline(pipeline);
            // SAFETY: the pipeline lives, and was made by this device.
            let all = unsafe { self.executables.get_pipeline_executable_properties(&info) };
            let all = all.map_err(failed("asking for a pipeline's properties"))?;
            all.first().map_or(0, |properties| properties.subgroup_size)
        };
        // A compute pipeline has one executable.
        let info = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline).executable_index(0);
        // SAFETY: the pipeline lives, and its statistics were asked for when it was made.
        let all = unsafe { self.executables.get_pipeline_executable_statistics(&info) };
        let all = all.map_err(failed("asking for a pipeline's statistics"))?;
        let statistics = all
            .iter()
            .filter(|one| one.format == vk::PipelineExecutableStatisticFormatKHR::UINT64)
            .filter_map(|one| {
                let name = one.name_as_c_str().ok()?.to_str().ok()?.to_owned();
                // SAFETY: its format says that it is of this kind.
                Some((name, unsafe { one.value.u64 }))
            })
            .collect();
        Ok(Compiled { statistics, assembly: self.assembly(&info)?, subgroup })
    }

    fn assembly(&self, info: &vk::PipelineExecutableInfoKHR<'_>) -> Result<String> {
        let failed = failed("asking for a shader's assembly");
        // SAFETY: the pipeline lives, and its representations were asked for when it was made.
        let all =
            unsafe { self.executables.get_pipeline_executable_internal_representations(info) };
        // Without memory to write to, lengths come back.
        let mut all = all.map_err(&failed)?;
        let mut texts: Vec<Vec<u8>> = all.iter().map(|one| vec![0; one.data_size]).collect();
        for (one, text) in all.iter_mut().zip(&mut texts) {
            one.p_data = text.as_mut_ptr().cast();
        }
        let mut count = all.len() as u32;
        // SAFETY: each text is as long as the driver asked for, and there are `count` of them.
        unsafe {
            (self.executables.fp().get_pipeline_executable_internal_representations_khr)(
                self.device.handle(),
                info,
                &mut count,
                all.as_mut_ptr(),
            )
        }
        .result()
        .map_err(&failed)?;
        let assembly = all
            .iter()
            .zip(texts)
            .find(|(one, _)| one.name_as_c_str().is_ok_and(|name| name.to_bytes() == b"Assembly"));
        let text = assembly.map(|(_, text)| text).unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
    }
}

impl Drop for Radv {
    fn drop(&mut self) {
        // SAFETY: pipelines live no longer than `compile`.
        unsafe {
            self.device.destroy_device(None);
            self.instance.destroy_instance(None);
        }
    }
}

struct Properties {
    chip: String,
    version: String,
    facts: Facts,
}

fn open_device(instance: &Instance) -> Result<Option<(Device, Properties)>> {
    // SAFETY: the instance lives.
    let all = unsafe { instance.enumerate_physical_devices() };
    let all = all.map_err(failed("listing devices"))?;
    let Some(&chip) = all.first() else { return Ok(None) };
    let (mut driver, mut of_1_3) = (
        vk::PhysicalDeviceDriverProperties::default(),
        vk::PhysicalDeviceVulkan13Properties::default(),
    );
    let mut properties =
        vk::PhysicalDeviceProperties2::default().push_next(&mut driver).push_next(&mut of_1_3);
    let mut robust = vk::PhysicalDeviceRobustness2FeaturesEXT::default();
    let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut robust);
    // SAFETY: the chip is the instance's, and the structures are linked for the length of the calls.
    unsafe {
        instance.get_physical_device_properties2(chip, &mut properties);
        instance.get_physical_device_features2(chip, &mut features);
    }
    let of_1_0 = properties.properties;
    let can_be_robust = features.features.robust_buffer_access;
    let text = |text: std::result::Result<&std::ffi::CStr, _>| match text {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => String::new(),
    };
    let version = text(driver.driver_info_as_c_str());
    if driver.driver_id != vk::DriverId::MESA_RADV {
        let name = text(driver.driver_name_as_c_str());
        return Err(Error::input(format!(
            "the driver is {name} {version}, not RADV; name RADV's description (radeon_icd….json) \
             with --driver"
        )));
    }

    // As wgpu opens it: what a driver must keep safe decides which loads it may join.
    let core = vk::PhysicalDeviceFeatures::default().robust_buffer_access(can_be_robust != 0);
    robust.p_next = std::ptr::null_mut();
    robust.null_descriptor = vk::FALSE;
    let mut readable = vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default()
        .pipeline_executable_info(true);
    let priorities = [1.0];
    let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&priorities)];
    let names = [khr::pipeline_executable_properties::NAME, ash::ext::robustness2::NAME]
        .map(|n| n.as_ptr());
    let description = vk::DeviceCreateInfo::default()
        .queue_create_infos(&queues)
        .enabled_extension_names(&names)
        .enabled_features(&core)
        .push_next(&mut readable)
        .push_next(&mut robust);
    // SAFETY: the description is complete, and `Radv` destroys the device.
    let device = unsafe { instance.create_device(chip, &description, None) }
        .map_err(failed("opening a device (Mesa 22.3 and later work)"))?;
    let limits = of_1_0.limits;
    Ok(Some((
        device,
        Properties {
            chip: text(of_1_0.device_name_as_c_str()),
            version,
            facts: Facts {
                software: false,
                subgroup: Some([of_1_3.min_subgroup_size, of_1_3.max_subgroup_size]),
                workgroup_threads: limits.max_compute_work_group_invocations,
                workgroup_bytes: limits.max_compute_shared_memory_size,
            },
        },
    )))
}

/// What a compilation makes on the way; null until it is made.
struct Made<'a> {
    device: &'a Device,
    set: vk::DescriptorSetLayout,
    layout: vk::PipelineLayout,
    module: vk::ShaderModule,
    pipeline: vk::Pipeline,
}

impl<'a> Made<'a> {
    fn new(device: &'a Device) -> Self {
        Self {
            device,
            set: vk::DescriptorSetLayout::null(),
            layout: vk::PipelineLayout::null(),
            module: vk::ShaderModule::null(),
            pipeline: vk::Pipeline::null(),
        }
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        // SAFETY: each was made by this device or is null, and nothing runs.
        unsafe {
            self.device.destroy_pipeline(self.pipeline, None);
            self.device.destroy_shader_module(self.module, None);
            self.device.destroy_pipeline_layout(self.layout, None);
            self.device.destroy_descriptor_set_layout(self.set, None);
        }
    }
}
