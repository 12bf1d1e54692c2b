//! `moodshader devices`: the adapters of this machine.

use clap::Args;

use crate::Result;
use crate::exec::{AdapterSummary, adapters};

/// List the adapters that can be used, the one that `auto` takes first.
#[derive(Args, Debug)]
pub struct Devices {}

impl Devices {
    pub fn run(&self) -> Result<()> {
        let adapters = adapters();
        for (index, adapter) in adapters.iter().enumerate() {
            let limits = adapter.limits();
            println!("{index}  {}", AdapterSummary::of(&adapter.get_info()));
            println!(
                "   buffers of {} MiB, bindings of {} MiB, {} KiB workgroup memory, {} threads a \
                 workgroup",
                limits.max_buffer_size >> 20,
                limits.max_storage_buffer_binding_size >> 20,
                limits.max_compute_workgroup_storage_size >> 10,
                limits.max_compute_invocations_per_workgroup,
            );
        }
        if adapters.is_empty() {
            println!(
                "no adapter; on Debian and Ubuntu, apt-get install mesa-vulkan-drivers provides a \
                 software one"
            );
        }
        println!(
            "cpu  the CPU reference, {} threads{}",
            rayon::current_num_threads(),
            if adapters.is_empty() { " (auto takes it)" } else { "" }
        );
        Ok(())
    }
}
