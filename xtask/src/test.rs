//! `cargo xtask test`: makes sure that there are an adapter and a browser, and runs every test.

use std::io::{IsTerminal, stderr, stdin};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

use clap::Args;
use moodshader::exec::{AdapterSummary, adapters};
use moodshader::{Error, Result};

use crate::browser;

/// Run every test; offers to install a software adapter and Chromium where there is none.
///
/// The tests run shaders, so they need an adapter: any GPU with a driver, or on a machine without
/// one Mesa's software adapter. The pages that people get are looked at in headless Chromium, after all other tests.
/// On Debian and Ubuntu this command installs both once you agree; elsewhere it prints what to do.
#[derive(Args, Debug)]
pub struct Test {
    /// Install what is missing without asking, as CI=true in the environment does.
    #[arg(long)]
    yes: bool,
    /// With the feature mpi, and so with the tests of several processes; needs Open MPI
    /// (libopenmpi-dev, openmpi-bin, libclang-dev).
    #[arg(long)]
    mpi: bool,
}

/// Mesa's Vulkan drivers on Debian; the software one is among them.
const PACKAGE: &str = "mesa-vulkan-drivers";

impl Test {
    pub fn run(&self) -> Result<ExitCode> {
        let agreed = self.yes || runs_in_ci();
        ensure_adapter(agreed)?;
        // The cargo that runs this runs the tests.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let features: &[&str] = if self.mpi { &["--features", "moodshader/mpi"] } else { &[] };
        let everything = ["test", "--release", "--workspace"];
        let status = run(Command::new(&cargo).args(everything).args(features))?;
        if !status.success() {
            return Ok(exit_code(status));
        }
        let browser = ensure_browser(agreed)?;
        eprintln!("browser: {}", browser.display());
        let pages = ["--test", "report", "--test", "library_page", "--test", "site"];
        let mut command = Command::new(&cargo);
        Ok(exit_code(run(command
            .args(["test", "--release"])
            .args(features)
            .args(pages)
            .args(["--", "--ignored"])
            .env("MOODSHADER_BROWSER", browser))?))
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    // A signal leaves no status.
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

fn runs_in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// Names the adapter that the tests will use, after installing one if need be.
fn ensure_adapter(agreed: bool) -> Result<()> {
    if found_adapter() {
        return Ok(());
    }
    let system = System::of_this_machine();
    let question = format!("No adapter was found. Install Mesa's software adapter ({PACKAGE})");
    if system != System::Debian || !(agreed || agrees_to(&question)) {
        return Err(Error::input(format!(
            "no adapter was found, and the tests run shaders; {}",
            system.advice()
        )));
    }
    install(PACKAGE)?;
    if found_adapter() {
        return Ok(());
    }
    Err(Error::input(format!(
        "{PACKAGE} is installed and still no adapter is found; see whether VK_DRIVER_FILES or \
         VK_ICD_FILENAMES hides it"
    )))
}

/// Installs a browser if need be, and says where it is.
fn ensure_browser(agreed: bool) -> Result<PathBuf> {
    let advice = || Error::input(browser::ADVICE);
    if let Some(browser) = browser::find() {
        return Ok(browser);
    }
    let question = format!("The report is checked in Chromium. Install it ({})", browser::PACKAGE);
    if System::of_this_machine() != System::Debian || !(agreed || agrees_to(&question)) {
        return Err(advice());
    }
    install(browser::PACKAGE)?;
    browser::find().ok_or_else(advice)
}

fn found_adapter() -> bool {
    let first = adapters().into_iter().next();
    if let Some(adapter) = &first {
        eprintln!("adapter: {}", AdapterSummary::of(&adapter.get_info()));
    }
    first.is_some()
}

/// What decides how an adapter gets onto a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum System {
    /// Debian, Ubuntu and what is made from them.
    Debian,
    Fedora,
    Arch,
    OtherUnix,
    MacOs,
    Windows,
}

impl System {
    fn of_this_machine() -> Self {
        match std::env::consts::OS {
            "macos" => Self::MacOs,
            "windows" => Self::Windows,
            _ => {
                let text = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
                Self::of_os_release(&text)
            }
        }
    }

    /// Reads `ID` and `ID_LIKE` of an os-release file.
    fn of_os_release(text: &str) -> Self {
        let names = ["ID", "ID_LIKE"].into_iter().filter_map(|key| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim_matches(['"', '\'']))
        });
        for name in names.flat_map(str::split_whitespace) {
            match name {
                "debian" | "ubuntu" => return Self::Debian,
                "fedora" | "rhel" => return Self::Fedora,
                "arch" => return Self::Arch,
                _ => {}
            }
        }
        Self::OtherUnix
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Debian => {
                "install Mesa's software one: sudo apt-get install mesa-vulkan-drivers (or cargo \
                 xtask test --yes)"
            }
            Self::Fedora => "install Mesa's software one: sudo dnf install mesa-vulkan-drivers",
            Self::Arch => "install Mesa's software one: sudo pacman -S vulkan-swrast",
            Self::OtherUnix => {
                "install your GPU's Vulkan driver, or from your system's packages Mesa's software \
                 one (lavapipe)"
            }
            Self::MacOs => {
                "Metal is part of macOS; a virtual machine must be given a graphics device"
            }
            Self::Windows => {
                "Windows brings a software adapter (WARP) with it: run Windows Update, or install \
                 your GPU's driver"
            }
        }
    }
}

/// Asks, on a terminal; elsewhere nobody agrees.
fn agrees_to(question: &str) -> bool {
    if !(stdin().is_terminal() && stderr().is_terminal()) {
        return false;
    }
    eprint!("{question} with apt-get? [y/N] ");
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.is_ok() && matches!(&*answer.trim().to_lowercase(), "y" | "yes")
}

/// Installs a Debian package.
fn install(package: &str) -> Result<()> {
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends", package])
}

/// Runs apt-get, through sudo where this is not root.
fn apt_get(arguments: &[&str]) -> Result<()> {
    let words: &[&str] = if is_root() { &["env"] } else { &["sudo", "env"] };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(arguments);
    let status = run(&mut command)?;
    if status.success() {
        return Ok(());
    }
    Err(Error::failure(format!(
        "apt-get {} failed ({status}); run it by hand to see why",
        arguments.join(" ")
    )))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs a command in front of the user and returns how it ended.
fn run(command: &mut Command) -> Result<ExitStatus> {
    command.status().map_err(|error| {
        Error::failure(format!("cannot run {}: {error}", command.get_program().display()))
    })
}

#[cfg(test)]
mod tests {
    use super::System;

    #[test]
    fn systems_are_known_by_themselves_or_by_what_they_are_made_from() {
        for (text, system) in [
            ("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\n", System::Debian),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", System::Debian),
            ("NAME=Fedora Linux\nID=fedora\n", System::Fedora),
            ("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", System::Fedora),
            ("ID=manjaro\nID_LIKE=arch\n", System::Arch),
            ("ID=nixos\n", System::OtherUnix),
            ("", System::OtherUnix),
        ] {
            assert_eq!(System::of_os_release(text), system, "{text}");
        }
    }
}
