//! `moodshader devices`: the adapters of this machine.

use clap::Args;

use crate::Result;
use crate::dataset::cache::default_root;
use crate::exec::{AdapterSummary, Record, adapters};
use crate::output;

/// List the adapters of this machine, the one that `auto` takes first.
///
/// For each: name, kind, backend and driver; the limits that decide how large a batch may be; and
/// whether `cargo xtask verify-kernels` passed there with this program's shaders. A number or a part
/// of a name goes with --device.
#[derive(Args, Debug)]
pub struct Devices {}

impl Devices {
    pub fn run(&self) -> Result<()> {
        let adapters = adapters();
        let cache = default_root().ok();
        let mut kinds = Vec::new();
        for (index, adapter) in adapters.iter().enumerate() {
            let limits = adapter.limits();
            let summary = AdapterSummary::of(&adapter.get_info());
            output::line(format_args!("{index}  {summary}"));
            output::line(format_args!(
                "   buffers of {} MiB, bindings of {} MiB, {} KiB workgroup memory, {} threads a \
                 workgroup",
                limits.max_buffer_size >> 20,
                limits.max_storage_buffer_binding_size >> 20,
                limits.max_compute_workgroup_storage_size >> 10,
                limits.max_compute_invocations_per_workgroup,
            ));
            output::line(format_args!(
                "   {}",
                verdict(cache.as_deref().and_then(|cache| Record::of(&summary, cache)))
            ));
            kinds.push(summary.kind);
        }
        output::line(format_args!(
            "cpu  the CPU references of all kernels, {} threads",
            rayon::current_num_threads()
        ));
        output::line(match &*kinds {
            [] => "auto takes cpu: there is no adapter (on Debian and Ubuntu, apt-get install \
                   mesa-vulkan-drivers provides a software one)"
                .to_owned(),
            ["software", ..] => "auto takes 0: there is no GPU, and a software adapter is faster \
                                 than the CPU references"
                .to_owned(),
            [kind] => format!("auto takes 0: the {kind} is the only adapter"),
            [kind, ..] => format!(
                "auto takes 0: a {kind} comes first (the order is discrete, integrated, virtual, \
                 other, software)"
            ),
        });
        Ok(())
    }
}

/// What is known of the kernels on an adapter.
fn verdict(record: Option<Record>) -> String {
    match record {
        None => "kernels: not verified here with these shaders (cargo xtask verify-kernels)".into(),
        Some(Record { cases, failed, .. }) if failed.is_empty() => {
            format!("kernels: verified, all {cases} cases passed")
        }
        Some(Record { failed, .. }) => format!(
            "kernels: verification FAILED for {}; do not trust results (cargo xtask verify-kernels \
             has the details)",
            failed.join(", ")
        ),
    }
}
