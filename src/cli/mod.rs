//! The command line: flags become validated arguments, arguments become library calls, and the
//! one place where an error becomes a message and an exit status.

mod compare;
mod dataset;
mod devices;
mod embed;
mod evaluate;
mod export;
mod features;
mod info;
mod interrupt;
mod learning_curve;
mod manual;
mod model;
mod own_data;
mod predict;
mod similar;
mod source;
mod synth;
mod train;
mod verify;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::Serialize;

use crate::audio::{Found, format_of, unread};
use crate::error::Kind;
use crate::exec::{DRIVERS, Device, DeviceChoice, GpuOptions};
use crate::files::{check_output, terminal_text};
use crate::output;
use crate::ranks::{Ending, Ranks};
use crate::report::Progress;
use crate::{Error, Result};
use interrupt::stop_on_interrupt;
pub use verify::Verify;

/// Music-mood tagging, trained and run in hand-written WGSL compute shaders on any GPU.
#[derive(Parser, Debug)]
#[command(name = "moodshader", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Train(Box<train::Train>),
    Evaluate(evaluate::Evaluate),
    Predict(predict::Predict),
    Embed(embed::Embed),
    Similar(similar::Similar),
    Compare(compare::Compare),
    LearningCurve(Box<learning_curve::LearningCurve>),
    Features(features::Features),
    Dataset(dataset::Dataset),
    Synth(synth::Synth),
    Export(export::Export),
    Info(info::Info),
    Devices(devices::Devices),
    Verify(verify::Verify),
    Completions(manual::Completions),
    Man(manual::Man),
}

/// What every command that computes takes.
#[derive(Args, Debug)]
struct Common {
    /// Where to compute: auto, gpu, cpu, or a part of an adapter's name or its number in `devices`.
    ///
    /// auto prefers a discrete GPU, then an integrated one, then a software adapter, then the CPU
    /// reference; gpu takes no adapter that is the CPU. Both pass over one that cannot be opened. A
    /// device asked for by name is never replaced. Processes that mpirun has started on a host go round
    /// the adapters that are as good as the best; names with commas between them are one for each.
    #[arg(long, default_value = "auto", value_name = "DEVICE")]
    device: String,
    /// Show warnings and errors only.
    #[arg(long, short)]
    quiet: bool,
}

impl Common {
    /// Of several ranks, the first tells what happens.
    fn progress(&self) -> Progress {
        match Ranks::this().is_first() {
            true => Progress::new(self.quiet),
            false => Progress::silent(),
        }
    }

    /// Whether a certain device was asked for, so that what another has computed will not do.
    fn names_device(&self) -> bool {
        self.device != "auto"
    }
}

/// How files of a folder are taken whose kind is not read.
#[derive(Args, Clone, Copy, Debug)]
struct Strictness {
    /// Count files of folders as failed whose kind is not read; else they are passed over with a note.
    #[arg(long)]
    strict: bool,
}

impl Strictness {
    /// What has failed of what was found: of `failed`, files that are passed over are told instead.
    fn sort_out(
        self,
        found: &Found,
        failed: Vec<(PathBuf, Error)>,
        progress: &Progress,
    ) -> Vec<Error> {
        let (passed_over, failed): (Vec<_>, Vec<_>) = failed
            .into_iter()
            .partition(|(file, error)| !self.strict && found.passes_over(file, error));
        let passed_over: Vec<PathBuf> = passed_over.into_iter().map(|(file, _)| file).collect();
        if let Some(note) = unread(&passed_over) {
            progress.note(&note);
        }
        let mut failed: Vec<Error> = failed.into_iter().map(|(_, error)| error).collect();
        if self.strict {
            failed.extend(found.passed_over.iter().map(|path| {
                Error::unread(format!("{} holds no audio that is read", path.display()))
            }));
        }
        failed
    }
}

/// What `--device` says for this rank: one name is for all, several are for the ranks of a host in their
/// order.
fn device_of_rank(given: &str) -> Result<&str> {
    let ranks = Ranks::this();
    let [rank, count] = ranks.local();
    let names: Vec<&str> = given.split(',').map(str::trim).collect();
    match names.len() {
        1 => Ok(given),
        _ if !ranks.has_others() => Ok(given),
        several if several == count => Ok(names[rank]),
        several => Err(Error::input(format!(
            "--device names {several} devices, and this host has {count} ranks: name one for each, or one \
             for all"
        ))),
    }
}

/// Opens a device and says which one it is; of several ranks, the first says which each has.
fn open_device(choice: &str, progress: &Progress) -> Result<Device> {
    let ranks = Ranks::this();
    let choice: DeviceChoice =
        device_of_rank(choice)?.parse().unwrap_or_else(|never| match never {});
    let (device, passed_over) = Device::open_for(&choice, GpuOptions::default(), ranks.local()[0])
        .map_err(|error| match error.kind {
            Kind::Failure => error.followed_by("choose another with --device, such as cpu"),
            _ => error,
        })?;
    for error in &passed_over {
        progress.note(&format!("warning: {error}: going on to the next device"));
    }
    if matches!((&device, &choice), (Device::Cpu, DeviceChoice::Auto)) {
        let (missing, remedy) = match &*passed_over {
            [] => (
                "no Vulkan, Metal, DX12 or OpenGL adapter was found",
                " (on Debian and Ubuntu, apt-get install mesa-vulkan-drivers provides a software \
                 adapter)",
            ),
            _ => ("no adapter can be opened", ""),
        };
        progress.note(&format!(
            "warning: {missing}: computing on the CPU reference, which is slower{remedy}"
        ));
    }
    if ranks.has_others() {
        let devices = ranks.gather(device.describe().as_bytes())?;
        for (rank, device) in devices.iter().enumerate() {
            progress.note(&format!("rank {rank}: {}", String::from_utf8_lossy(device)));
        }
    } else {
        progress.note(&format!("device: {}", device.describe()));
    }
    if device.facts().software && choice == DeviceChoice::Auto {
        progress.note(&format!(
            "no GPU was found, and that is this CPU through Mesa, which takes many times as long; \
             {DRIVERS}"
        ));
    }
    Ok(device)
}

/// As [`open_device`]; all ranks have devices of one kind, so that what is said of a file does not hang on
/// which rank has heard it.
fn open_device_alike(choice: &str, progress: &Progress) -> Result<Device> {
    let device = open_device(choice, progress)?;
    let ranks = Ranks::this();
    match ranks.has_others() && !ranks.differing(device.identity().as_bytes())?.is_empty() {
        true => Err(Error::input(
            "the ranks have devices of different kinds: choose one kind with --device",
        )),
        false => Ok(device),
    }
}

/// Runs the program; the exit status is 0 when done, 2 for wrong usage or input, 130 when stopped by Ctrl-C
/// with work left, else 1.
pub fn main() -> ExitCode {
    keep_drivers_quiet();
    // A file that may grow no further (ulimit -f) is an error of the write, and no reason to die of.
    #[cfg(unix)]
    // SAFETY: ignoring a signal runs no code.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
    run(std::env::args_os())
}

/// As [`main`], with other arguments than the process has; the first is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match Cli::try_parse_from(arguments) {
        Ok(cli) => Ranks::begin().and_then(|ranks| cli.command.run(ranks)),
        Err(usage) if usage.use_stderr() => usage.exit(),
        // Help and version were asked for.
        Err(help) => {
            output::by(|| help.print());
            Ok(())
        }
    };
    let failed = match (output::failure(), &result) {
        // What the others compute has nowhere to go.
        (Some(failure), _) => Some(failure.to_string()),
        (None, Err(error)) => Some(error.to_string()),
        (None, Ok(())) => None,
    };
    let ranks = Ranks::this();
    let ending = ranks.end(failed.as_deref());
    let tells = ending != (Ending::Together { tells: false });
    let rank = match ranks.rank() {
        0 => String::new(),
        rank => format!("rank {rank}: "),
    };
    // Who closed standard error does not want to know.
    let tell = |text: std::fmt::Arguments<'_>| {
        if tells {
            let _ = writeln!(std::io::stderr(), "{}", terminal_text(&text.to_string()));
        }
    };
    // Who closed the pipe has what they want.
    let lost = output::failure().filter(|failure| !output::is_closed(failure));
    if let Some(failure) = lost {
        tell(format_args!(
            "error: standard output cannot take the results: {failure}; write them elsewhere"
        ));
    }
    // What stops since its results go nowhere has said so.
    let is_told = |error: &&Error| error.kind != Kind::Stopped || output::failure().is_none();
    let error = result.as_ref().err().filter(is_told);
    if let Some(error) = error {
        let prefix = if error.kind == Kind::Stopped { "" } else { "error: " };
        tell(format_args!("{prefix}{rank}{error}"));
    }
    let status = error.map_or(u8::from(lost.is_some()), |error| status(error.kind));
    if ending == Ending::Alone {
        ranks.abort(status);
    }
    ranks.finish();
    match error {
        Some(error) => end_with(error),
        None => ExitCode::from(status),
    }
}

impl Command {
    fn run(self, ranks: Ranks) -> Result<()> {
        if ranks.has_others() && !self.may_have_ranks() {
            return Err(Error::input(format!(
                "train, predict, features and dataset check share their work among processes, and of this \
                 command each of {} would do all: start it without mpirun",
                ranks.count()
            )));
        }
        match self {
            Self::Train(train) => train.run(),
            Self::Evaluate(evaluate) => evaluate.run(),
            Self::Predict(predict) => predict.run(),
            Self::Embed(embed) => embed.run(),
            Self::Similar(similar) => similar.run(),
            Self::Compare(compare) => compare.run(),
            Self::LearningCurve(curve) => curve.run(),
            Self::Features(features) => features.run(),
            Self::Dataset(dataset) => dataset.run(),
            Self::Synth(synth) => synth.run(),
            Self::Export(export) => export.run(),
            Self::Info(info) => info.run(),
            Self::Devices(devices) => devices.run(),
            Self::Verify(verify) => verify.run(),
            Self::Completions(completions) => completions.run(),
            Self::Man(man) => man.run(),
        }
    }

    /// Whether several processes share its work, or each may do it for itself.
    fn may_have_ranks(&self) -> bool {
        match self {
            Self::Train(_) | Self::Predict(_) | Self::Features(_) => true,
            Self::Dataset(dataset) => dataset.may_have_ranks(),
            Self::Info(_) | Self::Devices(_) | Self::Completions(_) | Self::Man(_) => true,
            _ => false,
        }
    }
}

/// Mesa's Vulkan layer that brings the desktop's GPU to the front asks the desktop which it is, and
/// complains on standard error where there is none. There it has nothing to do, unless its
/// variables say so.
pub fn keep_drivers_quiet() {
    let set = |name| std::env::var_os(name).is_some();
    let wanted = ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT", "DRI_PRIME", "DISPLAY"];
    if cfg!(target_os = "linux") && !wanted.into_iter().any(set) {
        // SAFETY: the program has no other thread yet.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Makes sure, before any work, that a result can be written to `output`, and that this replaces none of `inputs`
/// and no music.
///
/// # Errors
/// It is an input, music, or something that is no file; its folder does not exist or cannot be written.
fn check_result<P: AsRef<Path>>(output: &Path, inputs: impl IntoIterator<Item = P>) -> Result<()> {
    check_output(output, inputs)?;
    match format_of(output) {
        Ok(Some(format)) => Err(Error::input(format!(
            "{} is music ({format}) and would be overwritten; name another file",
            output.display()
        ))),
        _ => Ok(()),
    }
}

/// Tells what to do where the device has failed a command that can be repeated; `kept` says what it
/// has done for good.
fn run_again(error: Error, kept: &str) -> Error {
    match error.kind {
        Kind::DeviceLost => error.followed_by(&format!("run the same command again: {kept}")),
        Kind::TooLarge => error.followed_by(
            "that is for one clip at a time, the smallest batch; choose another device (--device \
             cpu has no such limit)",
        ),
        Kind::OutOfMemory => error.followed_by(
            "end other programs that use its memory and run the same command again, or choose \
             another device (--device cpu needs none)",
        ),
        Kind::Input | Kind::Unread | Kind::Failure | Kind::Stopped => error,
    }
}

/// What a result is written for: people or programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A result as indented JSON.
fn to_json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| Error::failure(error.to_string()))
}

/// `headline` with the errors below it, one a line: files that failed while the rest was done.
fn list_errors(headline: &str, errors: &[Error]) -> Error {
    let lines = errors.iter().map(|error| format!("\n  {error}"));
    Error::failure(std::iter::once(headline.to_owned()).chain(lines).collect::<String>())
}

/// What an error makes of the exit status. After one of the device, the process ends here: its driver
/// may still be at work, and would crash while it is unloaded.
pub fn end_with(error: &Error) -> ExitCode {
    #[cfg(unix)]
    if let Kind::DeviceLost | Kind::OutOfMemory = error.kind {
        let _ = std::io::stdout().flush();
        // SAFETY: nothing runs after it.
        unsafe { libc::_exit(1) };
    }
    ExitCode::from(status(error.kind))
}

fn status(kind: Kind) -> u8 {
    match kind {
        Kind::Input | Kind::Unread | Kind::TooLarge => 2,
        Kind::Failure | Kind::OutOfMemory | Kind::DeviceLost => 1,
        // As a shell says of what Ctrl-C ended, so that nothing is done after it.
        Kind::Stopped => 130,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::Cli;

    /// Every command and option has a line that says what it is for.
    fn assert_helpful(command: &Command) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name} has no help");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
        }
        command.get_subcommands().for_each(assert_helpful);
    }

    #[test]
    fn everything_has_help() {
        let command = Cli::command();
        command.clone().debug_assert();
        assert_helpful(&command);
    }
}
