//! What people who work on moodshader run: `cargo xtask COMMAND`.

mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What people who work on moodshader run.
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Test(test::Test),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Test(test) => test.run(),
    }
}
