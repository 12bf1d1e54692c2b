//! `moodshader completions` and `moodshader man`: what a packager installs beside the program.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
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
        clap_complete::generate(self.shell, &mut Cli::command(), "moodshader", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end());
        Ok(())
    }
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
