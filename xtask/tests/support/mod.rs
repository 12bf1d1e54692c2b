//! Runs `cargo xtask`.

use std::process::{Command, Output};

/// A command of it with these flags.
pub fn xtask(command: &str, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg(command)
        .args(flags)
        .output()
        .expect("xtask starts")
}
