//! `moodshader devices`: the adapters of this machine.

use clap::Args;

use crate::Result;
use crate::dataset::cache::default_root;
use crate::exec::{AdapterSummary, Gpu, GpuOptions, Record, adapters};
use crate::output;

/// List the adapters of this machine, the one that `auto` takes first.
///
/// For each: name, kind, backend and driver; the limits that decide how large a batch may be;
/// whether `moodshader verify` passed there with this program's shaders; and why it cannot
/// be opened, if so. A number or a part of a name goes with --device.
#[derive(Args, Debug)]
pub struct Devices {}

impl Devices {
    pub fn run(&self) -> Result<()> {
        let adapters = adapters();
        let cache = default_root().ok();
        let found = adapters.len();
        let mut opened = Vec::new();
        for (index, adapter) in adapters.into_iter().enumerate() {
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
            match Gpu::open(adapter, GpuOptions::default()) {
                Ok(_) => opened.push((index, summary.kind)),
                Err(error) => output::line(format_args!("   {error}")),
            }
        }
        output::line(format_args!(
            "cpu  the CPU references of all kernels, {} threads",
            rayon::current_num_threads()
        ));
        output::line(preferred(found, &opened));
        Ok(())
    }
}

/// What `auto` takes, and why: of so many adapters, those of these numbers and kinds can be opened.
fn preferred(found: usize, opened: &[(usize, &str)]) -> String {
    let that_opens = if opened.len() < found { " that can be opened" } else { "" };
    match opened {
        [] if found == 0 => {
            "auto takes cpu: there is no adapter (on Debian and Ubuntu, apt-get install \
                             mesa-vulkan-drivers provides a software one)"
                .to_owned()
        }
        [] => format!("auto takes cpu: there is no adapter{that_opens}"),
        [(index, "software"), ..] => format!(
            "auto takes {index}: there is no GPU{that_opens}, and a software adapter is faster \
             than the CPU references"
        ),
        [(index, kind)] => {
            format!("auto takes {index}: the {kind} is the only adapter{that_opens}")
        }
        [(index, kind), ..] => format!(
            "auto takes {index}: a {kind} comes first (the order is discrete, integrated, virtual, \
             other, software)"
        ),
    }
}

/// What is known of the kernels on an adapter.
fn verdict(record: Option<Record>) -> String {
    match record {
        None => "kernels: not verified here with these shaders (moodshader verify)".into(),
        Some(Record { cases, failed, .. }) if failed.is_empty() => {
            format!("kernels: verified, all {cases} cases passed")
        }
        Some(Record { failed, .. }) => format!(
            "kernels: verification FAILED for {}; do not trust results (moodshader verify \
             has the details)",
            failed.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::preferred;

    #[test]
    fn auto_takes_the_first_that_can_be_opened() {
        for (found, opened, told) in [
            (0, &[][..], "takes cpu: there is no adapter (on Debian"),
            (2, &[], "takes cpu: there is no adapter that can be opened"),
            (1, &[(0, "software")], "takes 0: there is no GPU, and"),
            (2, &[(1, "software")], "takes 1: there is no GPU that can be opened, and"),
            (1, &[(0, "discrete GPU")], "takes 0: the discrete GPU is the only adapter"),
            (
                2,
                &[(1, "integrated GPU")],
                "takes 1: the integrated GPU is the only adapter that can",
            ),
            (2, &[(0, "virtual GPU"), (1, "software")], "takes 0: a virtual GPU comes first"),
        ] {
            let text = preferred(found, opened);
            assert!(text.contains(told), "{text}");
        }
    }
}
