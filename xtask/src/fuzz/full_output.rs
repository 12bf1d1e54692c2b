//! Commands whose output takes no more: a full disk, or a reader that has gone. They end soon, with
//! the status that they should, and never by a panic.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use moodshader::{Error, Result};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::Tally;

pub const NAME: &str = "output";

/// Every so many rounds, since a process takes longer than an input.
pub const EVERY: u64 = 50;

/// Runs moodshader itself, as a process of its own.
#[derive(Args, Debug)]
pub struct Program {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

impl Program {
    pub fn run(self) -> Result<ExitCode> {
        Ok(moodshader::cli::run(std::iter::once("moodshader".into()).chain(self.arguments)))
    }
}

/// Runs a command with such an output. Returns what is wrong with how it ended.
pub fn try_one(seed: u64, number: u64, folder: &Path, tally: &mut Tally) -> Result<Option<String>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ number.rotate_left(32));
    let manifest = folder.join("output.csv");
    let rows: String = (0..500).map(|n| format!("{n}.wav,mood{n}|happy\n")).collect();
    fs::write(&manifest, format!("path,tags\n{rows}"))
        .map_err(|error| Error::io("write", &manifest, &error))?;
    let manifest = manifest.display().to_string();
    let commands: [&[&str]; 6] = [
        &["dataset", "cache"],
        &["completions", "bash"],
        &["dataset", "stats", &manifest, "--moods", "all"],
        &["dataset", "stats", &manifest, "--moods", "all", "--format", "json"],
        &["info", "--preset", "paper"],
        &["--help"],
    ];
    let arguments = commands[rng.random_range(0..commands.len())];
    let io_error = |error| Error::failure(format!("cannot run the program: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(io_error)?);
    command.args(["program", "--"]).args(arguments).stdin(Stdio::null()).stderr(Stdio::piped());

    // A full disk is a file on Linux; elsewhere the reader goes.
    let full = File::options().write(true).open("/dev/full").ok().filter(|_| rng.random_bool(0.5));
    let is_full = full.is_some();
    command.stdout(full.map_or_else(Stdio::piped, Stdio::from));
    let mut child = command.spawn().map_err(io_error)?;
    if let Some(mut output) = child.stdout.take() {
        let mut read = vec![0; rng.random_range(0..2000)];
        let _ = output.read(&mut read);
    }
    let ended = child.wait_with_output().map_err(io_error)?;
    let told = String::from_utf8_lossy(&ended.stderr);
    tally.tried += 1;
    let well = match ended.status.code() {
        Some(0) => !is_full,
        Some(1 | 2) => told.contains("error"),
        _ => false,
    };
    if well {
        tally.taken += u64::from(ended.status.success());
        return Ok(None);
    }
    tally.findings += 1;
    let output = if is_full { "a full disk" } else { "a reader that went" };
    Ok(Some(format!("moodshader {} into {output}: {}, {told}", arguments.join(" "), ended.status)))
}
