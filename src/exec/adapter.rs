//! Finds the adapters of this machine and chooses one.

use std::fmt;

use serde::Serialize;

use crate::panics::caught;
use crate::spelling::{distance, nearest_first};
use crate::{Error, Result};

/// What `--device` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A discrete GPU, then an integrated one, then a software adapter, then the CPU reference.
    #[default]
    Auto,
    /// Like `Auto`, but an error instead of a software adapter or the CPU reference.
    Gpu,
    /// The best adapter, a software one where there is no GPU; an error instead of the CPU reference.
    Adapter,
    /// The CPU references.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AdapterSummary {
    /// As the driver gives it.
    pub name: String,
    /// "discrete GPU", "integrated GPU", "virtual GPU", "software", "other".
    pub kind: &'static str,
    /// "vulkan", "metal", "dx12" or "gl".
    pub backend: String,
    /// Name and version; empty where the backend does not say.
    pub driver: String,
}

impl AdapterSummary {
    /// What wgpu says, in our words.
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

/// What brings a GPU's driver, by system.
pub const DRIVERS: &str = "a GPU needs its Vulkan driver: on Debian and Ubuntu apt-get install \
    mesa-vulkan-drivers (AMD, Intel) or nvidia-driver, on Fedora dnf install mesa-vulkan-drivers, on \
    Arch pacman -S vulkan-radeon, vulkan-intel or nvidia-utils, on Windows the maker's driver; macOS \
    has it";

/// What is said where no adapter is found.
const NO_ADAPTER: &str = "no Vulkan, Metal, DX12 or OpenGL adapter was found";

/// Every adapter that can run compute shaders, the one that `auto` prefers first.
pub fn adapters() -> Vec<wgpu::Adapter> {
    // An instance of its own for OpenGL: where another adapter is chosen, its driver is unloaded.
    let opengl = wgpu::Backends::GL;
    let mut adapters: Vec<_> = [wgpu::Backends::all() - opengl, opengl]
        .into_iter()
        .flat_map(|backends| {
            let mut description = wgpu::InstanceDescriptor::new_without_display_handle();
            description.backends = backends;
            description.flags = wgpu::InstanceFlags::empty();
            // A driver that breaks down here offers nothing.
            let list = || {
                let instance = wgpu::Instance::new(description);
                pollster::block_on(instance.enumerate_adapters(backends))
            };
            caught(list).unwrap_or_default()
        })
        .filter(|adapter| {
            let abilities = adapter.get_downlevel_capabilities().flags;
            abilities.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        })
        .collect();
    // A stable sort: among equals, the driver's own order stays.
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::VirtualGpu => 2,
            wgpu::DeviceType::Other => 3,
            wgpu::DeviceType::Cpu => 4,
        };
        // The same chip through OpenGL has fewer limits and slower barriers.
        (kind, info.backend == wgpu::Backend::Gl)
    });
    adapters
}

/// The adapters to try, in this order; none for the CPU references.
pub(super) fn candidates(choice: &DeviceChoice) -> Result<Vec<wgpu::Adapter>> {
    match choice {
        DeviceChoice::Cpu => Ok(Vec::new()),
        DeviceChoice::Auto => Ok(adapters()),
        DeviceChoice::Adapter => match adapters() {
            all if all.is_empty() => Err(Error::input(format!("{NO_ADAPTER}; {DRIVERS}"))),
            all => Ok(all),
        },
        DeviceChoice::Gpu => {
            let is_software =
                |adapter: &wgpu::Adapter| adapter.get_info().device_type == wgpu::DeviceType::Cpu;
            let (software, gpus): (Vec<_>, Vec<_>) = adapters().into_iter().partition(is_software);
            match (gpus.is_empty(), software.first()) {
                (false, _) => Ok(gpus),
                (true, None) => Err(Error::input(format!(
                    "--device gpu: {NO_ADAPTER}; {DRIVERS} (or use --device cpu)"
                ))),
                (true, Some(software)) => Err(Error::input(format!(
                    "--device gpu: there is no GPU, only {}, which is this CPU; {DRIVERS} (or use \
                     --device auto)",
                    AdapterSummary::of(&software.get_info())
                ))),
            }
        }
        DeviceChoice::Named(name) => Ok(vec![named(name, adapters())?]),
    }
}

/// Puts the adapter first that process `process` of this host takes, of those of the kind and the backend
/// of the best one.
pub(super) fn go_round(candidates: &mut [wgpu::Adapter], process: usize) {
    let like = |adapter: &wgpu::Adapter| {
        let info = adapter.get_info();
        (info.device_type, info.backend)
    };
    let Some(best) = candidates.first().map(like) else { return };
    let equals = candidates.iter().take_while(|adapter| like(adapter) == best).count();
    candidates[..equals].rotate_left(process % equals);
}

/// The first adapter to try, or none for the CPU references.
///
/// # Errors
/// There is no such adapter.
pub fn choose(choice: &DeviceChoice) -> Result<Option<wgpu::Adapter>> {
    Ok(candidates(choice)?.into_iter().next())
}

/// The first of the candidates that opens, or none for the CPU references; and the errors of those
/// before it.
pub(super) fn open_first<A, D>(
    choice: &DeviceChoice,
    candidates: Vec<A>,
    open: impl Fn(A) -> Result<D>,
) -> Result<(Option<D>, Vec<Error>)> {
    let mut errors = Vec::new();
    for adapter in candidates {
        match open(adapter) {
            Ok(opened) => return Ok((Some(opened), errors)),
            Err(error) => errors.push(error),
        }
    }
    match choice {
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok((None, errors)),
        DeviceChoice::Gpu | DeviceChoice::Adapter | DeviceChoice::Named(_) => {
            Err(match errors.len() {
                1 => errors.remove(0),
                _ => {
                    let reasons: Vec<_> =
                        errors.iter().map(|error| format!("\n  {error}")).collect();
                    Error::failure(format!("no adapter can be opened:{}", reasons.concat()))
                }
            })
        }
    }
}

fn named(name: &str, mut adapters: Vec<wgpu::Adapter>) -> Result<wgpu::Adapter> {
    if name.trim().is_empty() {
        return Err(Error::input("--device is empty; use auto, gpu, cpu, or a part of a name"));
    }
    let summaries: Vec<_> =
        adapters.iter().map(|adapter| AdapterSummary::of(&adapter.get_info())).collect();
    if let Some(place) = position(name, &summaries) {
        return Ok(adapters.swap_remove(place));
    }
    // Letters are often swapped in the short names; a whole adapter's name is rarely typed, but its
    // first words are.
    let words = summaries.iter().flat_map(|summary| {
        let name = summary.name.to_lowercase();
        let words = name.split(|letter: char| !letter.is_alphanumeric());
        words.filter(|word| word.len() > 3).take(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let words: Vec<String> =
        ["auto", "gpu", "cpu"].map(str::to_owned).into_iter().chain(words).collect();
    let typed = name.to_lowercase();
    let nearest = nearest_first(&typed, words.iter().map(String::as_str))[0];
    let meant = match distance(&typed, nearest) <= typed.chars().count().div_ceil(2) {
        true => format!("; did you mean {nearest}?"),
        false => String::new(),
    };
    let known: Vec<String> = summaries
        .iter()
        .enumerate()
        .map(|(index, summary)| format!("\n  {index}  {summary}"))
        .collect();
    Err(Error::input(if known.is_empty() {
        format!("no adapter matches --device {name}: {NO_ADAPTER}; {DRIVERS} (or use --device cpu)")
    } else {
        format!(
            "no adapter matches --device {name}{meant}; use auto, gpu, cpu, or a part of one of these \
             names or its number:{}",
            known.concat()
        )
    }))
}

/// By number in `devices`, or by a part of what it shows. A number that is none of them may be part
/// of a name (`4090`), but not of a driver's version.
fn position(wanted: &str, summaries: &[AdapterSummary]) -> Option<usize> {
    let number: Option<usize> = wanted.parse().ok();
    if let Some(place) = number.filter(|place| *place < summaries.len()) {
        return Some(place);
    }
    let wanted = wanted.to_lowercase();
    summaries.iter().position(|summary| {
        let text = if number.is_some() { summary.name.clone() } else { summary.to_string() };
        text.to_lowercase().contains(&wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::{AdapterSummary, DeviceChoice, open_first, position};
    use crate::error::{Error, Kind, Result};

    /// Adapters are numbers here, and those below the first that works cannot be opened.
    fn opening(choice: DeviceChoice, working: usize) -> Result<(Option<usize>, Vec<String>)> {
        let open = |adapter| match adapter {
            adapter if adapter < working => Err(Error::failure(format!("{adapter} is lost"))),
            adapter => Ok(adapter),
        };
        let (opened, errors) = open_first(&choice, vec![0, 1, 2], open)?;
        Ok((opened, errors.iter().map(Error::to_string).collect()))
    }

    #[test]
    fn what_cannot_be_opened_is_passed_over_with_its_reason() {
        let lost = |count: usize| (0..count).map(|at| format!("{at} is lost")).collect();
        for choice in [DeviceChoice::Auto, DeviceChoice::Gpu] {
            assert_eq!(opening(choice.clone(), 0).unwrap(), (Some(0), lost(0)));
            assert_eq!(opening(choice, 2).unwrap(), (Some(2), lost(2)));
        }
        // The CPU references come last, and only where any device will do.
        assert_eq!(opening(DeviceChoice::Auto, 3).unwrap(), (None, lost(3)));
        let error = opening(DeviceChoice::Gpu, 3).unwrap_err();
        assert_eq!(error.kind, Kind::Failure);
        let lines: Vec<String> = error.to_string().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(lines, ["  0 is lost", "  1 is lost", "  2 is lost"]);
    }

    #[test]
    fn what_was_asked_for_by_name_is_never_replaced() {
        let named = DeviceChoice::Named("radeon".into());
        let open = |()| Err::<(), _>(Error::failure("it is lost"));
        assert_eq!(open_first(&named, vec![()], open).unwrap_err().to_string(), "it is lost");
    }

    #[test]
    fn a_number_is_a_place_or_part_of_a_name_but_no_version() {
        let summary = |name: &str, driver: &str| AdapterSummary {
            name: name.into(),
            kind: "discrete GPU",
            backend: "vulkan".into(),
            driver: driver.into(),
        };
        let known = [summary("Radeon", "Mesa 22.3.9"), summary("GeForce RTX 4090", "550.7")];
        let at = |wanted| position(wanted, &known);
        assert_eq!(
            [at("1"), at("4090"), at("3"), at("geforce")],
            [Some(1), Some(1), None, Some(1)]
        );
        assert_eq!([at("mesa"), at("metal")], [Some(0), None]);
    }
}
