//! The browser that `cargo xtask test` has seen to.

use std::io;
use std::path::Path;
use std::process::Command;

/// Chromium without a window, with its profile in this folder.
pub fn chromium(profile: &Path) -> Command {
    let name = std::env::var("MOODSHADER_BROWSER").unwrap_or_else(|_| "chromium".to_owned());
    let mut command = Command::new(name);
    command.args(["--headless=new", "--no-sandbox"]);
    command.arg(format!("--user-data-dir={}", profile.display()));
    command
}

pub fn cannot_run(command: &Command, error: &io::Error) -> ! {
    let name = command.get_program().display();
    panic!("{name} cannot be run ({error}): `cargo xtask test` installs it on Debian")
}
