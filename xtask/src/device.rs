//! Which adapter a command works on.

use moodshader::exec::DeviceChoice;
use moodshader::{Error, Result};

/// What `--device` asks for, of adapters alone: the CPU reference cannot stand in for one. `why` says
/// what an adapter is needed for.
pub fn adapter_choice(device: &str, why: &str) -> Result<DeviceChoice> {
    match device.parse().unwrap_or_else(|never| match never {}) {
        DeviceChoice::Auto => Ok(DeviceChoice::Adapter),
        DeviceChoice::Cpu => Err(Error::input(format!("{why} (`moodshader devices` lists them)"))),
        other => Ok(other),
    }
}
