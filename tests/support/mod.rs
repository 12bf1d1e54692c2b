//! One GPU for all tests of a binary.

use std::sync::OnceLock;

use moodshader::exec::{Gpu, GpuOptions, adapters};

/// The adapter that `auto` takes, software included, with shader checks on. A machine without
/// one fails the tests: they never pass by skipping.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| {
        let adapter = adapters().into_iter().next().expect(
            "no adapter: run `cargo xtask test`, which offers to install Mesa's software one",
        );
        Gpu::open(adapter, GpuOptions { checked: true }).expect("the adapter opens")
    })
}
