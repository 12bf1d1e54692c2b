//! `moodshader completions` and `moodshader man`: what a packager installs beside the program.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::exec::{AdapterSummary, adapters};
use crate::model::preset::Preset;
use crate::output;
use crate::{Error, Result};

/// Print a completion script for a shell.
///
/// For bash: moodshader completions bash > ~/.local/share/bash-completion/completions/moodshader
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell to complete in.
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages, one for each command, into a folder.
///
/// Read one with: man DIR/moodshader-train.1
#[derive(Args, Debug)]
pub struct Man {
    /// The folder to write; it is made if it is not there.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Completions {
    pub fn run(&self) -> Result<()> {
        let mut script = Vec::new();
        let mut command = with_choices(Cli::command());
        clap_complete::generate(self.shell, &mut command, "moodshader", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
}

/// The command line with what may stand for a preset and a device on this machine, for a shell to offer.
fn with_choices(mut command: Command) -> Command {
    let adapters = adapters().into_iter();
    let adapters = adapters.map(|adapter| AdapterSummary::of(&adapter.get_info()).name);
    let mut devices: Vec<String> =
        ["auto", "gpu", "cpu"].map(str::to_owned).into_iter().chain(adapters).collect();
    devices.dedup();
    let presets: Vec<String> = Preset::names().map(str::to_owned).collect();
    let names: Vec<String> =
        command.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |command| {
            command.mut_args(|argument| {
                let choices = match argument.get_id().as_str() {
                    "device" => &devices,
                    "preset" | "presets" => &presets,
                    _ => return argument,
                };
                argument.value_parser(PossibleValuesParser::new(choices.clone()))
            })
        });
    }
    command
}

impl Man {
    pub fn run(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| clap_mangen::generate_to(Cli::command(), &self.folder))
            .map_err(|error| Error::io("write", &self.folder, &error))?;
        output::line(self.folder.display());
        Ok(())
    }
}
