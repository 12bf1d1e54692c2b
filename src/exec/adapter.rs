//! Finds the adapters of this machine and chooses one.

use std::fmt;

use crate::{Error, Result};

/// What `--device` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A discrete GPU, then an integrated one, then a software adapter, then the CPU reference.
    #[default]
    Auto,
    /// Like `Auto`, but an error instead of the CPU reference.
    Gpu,
    Cpu,
    /// An adapter whose name or backend contains this, ignoring case; or its number in `devices`.
    Named(String),
}

impl std::str::FromStr for DeviceChoice {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "auto" => Self::Auto,
            "gpu" => Self::Gpu,
            "cpu" => Self::Cpu,
            name => Self::Named(name.to_owned()),
        })
    }
}

/// What people need to know of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterSummary {
    pub name: String,
    /// "discrete GPU", "integrated GPU", "virtual GPU", "software", "other".
    pub kind: &'static str,
    pub backend: String,
    pub driver: String,
}

impl AdapterSummary {
    pub fn of(info: &wgpu::AdapterInfo) -> Self {
        Self {
            name: info.name.clone(),
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => "discrete GPU",
                wgpu::DeviceType::IntegratedGpu => "integrated GPU",
                wgpu::DeviceType::VirtualGpu => "virtual GPU",
                wgpu::DeviceType::Cpu => "software",
                wgpu::DeviceType::Other => "other",
            },
            backend: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        }
    }
}

impl fmt::Display for AdapterSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}", self.name, self.kind, self.backend)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        f.write_str(")")
    }
}

/// What to do where no adapter is found.
const NO_ADAPTER: &str = "no Vulkan, Metal, DX12 or OpenGL adapter was found; install your GPU's \
    driver, or on Debian and Ubuntu Mesa's software adapter: apt-get install mesa-vulkan-drivers \
    (or use --device cpu)";

/// Every adapter that can run compute shaders, the one that `auto` takes first.
pub fn adapters() -> Vec<wgpu::Adapter> {
    let mut adapters = native_adapters();
    adapters.extend(enumerate(wgpu::Backends::GL));
    adapters
}

/// All but OpenGL's, which come last: the same chip through OpenGL has fewer limits and slower
/// barriers, and merely looking for it makes some drivers write to standard error.
fn native_adapters() -> Vec<wgpu::Adapter> {
    enumerate(wgpu::Backends::all() - wgpu::Backends::GL)
}

/// The best adapter without OpenGL, or with it where there is no other.
fn best_adapter() -> Option<wgpu::Adapter> {
    let first = |adapters: Vec<wgpu::Adapter>| adapters.into_iter().next();
    first(native_adapters()).or_else(|| first(enumerate(wgpu::Backends::GL)))
}

fn enumerate(backends: wgpu::Backends) -> Vec<wgpu::Adapter> {
    let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
    description.backends = backends;
    description.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(description);
    let mut adapters: Vec<_> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .filter(|adapter| {
            adapter
                .get_downlevel_capabilities()
                .flags
                .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        })
        .collect();
    // A stable sort: among equals, the driver's own order stays.
    adapters.sort_by_key(|adapter| match adapter.get_info().device_type {
        wgpu::DeviceType::DiscreteGpu => 0,
        wgpu::DeviceType::IntegratedGpu => 1,
        wgpu::DeviceType::VirtualGpu => 2,
        wgpu::DeviceType::Other => 3,
        wgpu::DeviceType::Cpu => 4,
    });
    adapters
}

/// The adapter to use, or none for the CPU reference.
pub(super) fn choose(choice: &DeviceChoice) -> Result<Option<wgpu::Adapter>> {
    match choice {
        DeviceChoice::Cpu => Ok(None),
        DeviceChoice::Auto => Ok(best_adapter()),
        DeviceChoice::Gpu => best_adapter().map(Some).ok_or_else(|| Error::input(NO_ADAPTER)),
        DeviceChoice::Named(name) => named(name).map(Some),
    }
}

fn named(name: &str) -> Result<wgpu::Adapter> {
    let mut adapters = native_adapters();
    if let Some(place) = position(name, &adapters) {
        return Ok(adapters.swap_remove(place));
    }
    adapters.extend(enumerate(wgpu::Backends::GL));
    if let Some(place) = position(name, &adapters) {
        return Ok(adapters.swap_remove(place));
    }
    let known: Vec<String> = adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| format!("\n  {index}  {}", AdapterSummary::of(&adapter.get_info())))
        .collect();
    Err(Error::input(if known.is_empty() {
        format!("no adapter matches --device {name}: {NO_ADAPTER}")
    } else {
        format!(
            "no adapter matches --device {name}; use auto, gpu, cpu, or a part of one of these \
             names or its number:{}",
            known.concat()
        )
    }))
}

/// By number in `devices`, or by a part of what `devices` shows.
fn position(name: &str, adapters: &[wgpu::Adapter]) -> Option<usize> {
    if let Ok(number) = name.parse() {
        return (number < adapters.len()).then_some(number);
    }
    let wanted = name.to_lowercase();
    adapters.iter().position(|adapter| {
        AdapterSummary::of(&adapter.get_info()).to_string().to_lowercase().contains(&wanted)
    })
}
