//! What people who work on moodshader run: `cargo xtask COMMAND`.

mod bench;
mod browser;
mod device;
mod fuzz;
mod import_musicnn;
mod inspect;
mod mutate;
mod output;
mod test;
mod verify_kernels;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use moodshader::error::Kind;

/// Checks and measurements for people who work on moodshader.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    VerifyKernels(verify_kernels::VerifyKernels),
    Bench(bench::Bench),
    Inspect(inspect::Inspect),
    /// One family's compiler.
    #[command(hide = true)]
    InspectFamily(inspect::InspectFamily),
    Mutate(mutate::Mutate),
    Fuzz(fuzz::Fuzz),
    ImportMusicnn(import_musicnn::ImportMusicnn),
    /// Runs moodshader itself.
    #[command(hide = true)]
    Program(fuzz::Program),
    #[command(hide = true)]
    VerifySource(mutate::VerifySource),
    Test(test::Test),
}

/// The exit status is 0 when all is well, 2 for wrong usage, else 1.
fn main() -> ExitCode {
    moodshader::cli::keep_drivers_quiet();
    let result = match Cli::parse().command {
        Command::VerifyKernels(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Inspect(command) => command.run(),
        Command::InspectFamily(command) => command.run(),
        Command::Mutate(command) => command.run(),
        Command::Fuzz(command) => command.run(),
        Command::ImportMusicnn(command) => command.run(),
        Command::Program(command) => command.run(),
        Command::VerifySource(command) => command.run(),
        Command::Test(command) => command.run(),
    };
    result.unwrap_or_else(|error| {
        let error = match error.kind {
            Kind::DeviceLost => error.followed_by("run the same command again"),
            Kind::OutOfMemory | Kind::TooLarge => error.followed_by(
                "use a smaller batch (bench --batch), or end other programs that use its memory",
            ),
            Kind::Input | Kind::Unread | Kind::Failure | Kind::Stopped => error,
        };
        eprintln!("error: {error}");
        moodshader::cli::end_with(&error)
    })
}
