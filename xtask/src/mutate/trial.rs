//! Verifies a shader that may do anything, in a process of its own: it may hang, crash or lose the
//! device, and the rest of the drill goes on.

use std::io::{Read, Write};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::Args;
use moodshader::exec::verification::{cases, verify};
use moodshader::exec::{DeviceChoice, Gpu, GpuOptions, choose};
use moodshader::{Error, Result};

/// What became of a shader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every case passed.
    Survived,
    /// What was wrong.
    Caught(String),
    /// It is no shader at all.
    DoesNotCompile,
}

/// How to try shaders.
#[derive(Clone, Debug)]
pub struct Trial {
    pub device: String,
    /// Draws the inputs of the cases.
    pub seed: u64,
}

impl Trial {
    /// Verifies the schedule `kernel` with this source in place of its own; a hang ends at `limit`.
    pub fn run(&self, kernel: &str, source: &str, limit: Duration) -> Result<Outcome> {
        let failure = |error: std::io::Error| {
            Error::failure(format!("cannot run the verification of {kernel}: {error}"))
        };
        let mut child = Command::new(std::env::current_exe().map_err(failure)?)
            .args(["verify-source", kernel, "--device", &self.device])
            .args(["--seed", &self.seed.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failure)?;
        // A child that ended before it had read everything is judged by its status.
        let _ = child.stdin.take().expect("it is piped").write_all(source.as_bytes());
        let end = Instant::now() + limit;
        let status = loop {
            if let Some(status) = child.try_wait().map_err(failure)? {
                break status;
            }
            if Instant::now() > end {
                child.kill().and_then(|()| child.wait()).map_err(failure)?;
                return Ok(Outcome::Caught(format!("hung for {:.0} s", limit.as_secs_f64())));
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut said = String::new();
        child.stdout.expect("it is piped").read_to_string(&mut said).map_err(failure)?;
        Ok(match status.code() {
            Some(SURVIVED) => Outcome::Survived,
            Some(DOES_NOT_COMPILE) => Outcome::DoesNotCompile,
            Some(CAUGHT) => Outcome::Caught(said.trim().to_owned()),
            // No adapter, say: that is not the shader's doing.
            Some(1 | 2) => {
                return Err(Error::failure(format!(
                    "the verification of {kernel} did not start; see cargo xtask verify-kernels \
                     --filter {kernel} --device '{}'",
                    self.device
                )));
            }
            _ => Outcome::Caught(format!("the process ended with {status}")),
        })
    }
}

// Statuses that neither a panic nor wrong usage ends with.
const SURVIVED: i32 = 0;
const CAUGHT: i32 = 10;
const DOES_NOT_COMPILE: i32 = 11;

/// Verify one kernel with a source from standard input: the process that `mutate` runs.
#[derive(Args, Debug)]
pub struct VerifySource {
    kernel: String,
    #[arg(long)]
    device: String,
    #[arg(long)]
    seed: u64,
}

impl VerifySource {
    pub fn run(self) -> Result<ExitCode> {
        let mut source = String::new();
        std::io::stdin()
            .read_to_string(&mut source)
            .map_err(|error| Error::failure(format!("standard input: {error}")))?;
        // Launches hold sources that live as long as the program, and this one does.
        let source: &'static str = source.leak();
        let device: DeviceChoice = self.device.parse().unwrap_or_else(|never| match never {});
        // As verify-kernels does, then as the tests do: with checks, an index past the end of
        // workgroup memory goes to its last element and shows.
        for checked in [false, true] {
            let adapter = choose(&device)?.ok_or_else(|| Error::input("this needs an adapter"))?;
            let gpu = Gpu::open(adapter, GpuOptions { checked })?;
            let mut cases = cases(&self.kernel, gpu.facts())?;
            cases.retain(|case| case.launch.shader.name == self.kernel);
            for case in &mut cases {
                case.launch.shader.source = source;
            }
            let compilations = gpu.compile_all(cases.iter().map(|case| &case.launch));
            if compilations.iter().any(|compilation| compilation.result.is_err()) {
                return Ok(exit(DOES_NOT_COMPILE));
            }
            for case in &cases {
                let report = verify(&gpu, case, self.seed);
                if !report.passed() {
                    println!("{}: error {:.1e}, {}", report.case, report.error, report.worst);
                    return Ok(exit(CAUGHT));
                }
            }
        }
        Ok(exit(SURVIVED))
    }
}

fn exit(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).expect("the statuses are small"))
}
