//! `cargo xtask verify-kernels`: another door to `moodshader verify`.

use std::process::ExitCode;

use clap::Args;
use moodshader::Result;
use moodshader::cli::Verify;

/// Run every kernel on an adapter against its CPU reference, on fresh random inputs: `moodshader verify`.
#[derive(Args, Debug)]
pub struct VerifyKernels {
    #[command(flatten)]
    verify: Verify,
}

impl VerifyKernels {
    pub fn run(self) -> Result<ExitCode> {
        self.verify.run().map(|()| ExitCode::SUCCESS)
    }
}
