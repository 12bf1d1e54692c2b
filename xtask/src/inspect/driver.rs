//! Compiles for each family in a process of its own: the driver reads the chip's name from the
//! environment when it is loaded.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clap::Args;
use moodshader::{Error, Result};
use serde::{Deserialize, Serialize};

use super::family::Family;
use super::pipelines::{of_presets, translate};
use super::radv::{Radv, SPIRV};
use super::report::{Document, FamilyReport, Row};
use crate::bench::facts::Adapter;
use crate::output::to_json;

/// Where drivers' descriptions lie.
const FOLDERS: [&str; 3] =
    ["/etc/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/usr/share/vulkan/icd.d"];

/// Exit status of a process whose driver makes no device.
const NO_DEVICE: u8 = 3;

/// What RADV says of a chip that it does not know by this name, before it aborts.
const UNKNOWN_CHIP: &str = "Unknown family";

/// The description of the RADV that is installed.
pub fn installed() -> Result<PathBuf> {
    let mut found: Vec<_> = FOLDERS
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|files| files.flatten().map(|file| file.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("radeon_icd") && name.ends_with(".json")
        })
        .collect();
    // This processor's before that of 32 bits beside it.
    let arch = |path: &PathBuf| !path.to_string_lossy().contains(std::env::consts::ARCH);
    found.sort_by_key(|path| (arch(path), path.clone()));
    found.into_iter().next().ok_or_else(|| {
        Error::input(
            "RADV, Mesa's Vulkan driver for AMD's GPUs, is not installed; on Debian and Ubuntu \
             apt-get install mesa-vulkan-drivers, elsewhere name its radeon_icd….json with --driver",
        )
    })
}

/// What one process says.
#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    driver: String,
    report: FamilyReport,
}

/// Compiles for every family, on all cores.
pub fn compile(driver: &Path, families: &[&Family], filter: &str) -> Result<Document> {
    // Relative paths mean another folder to the loader than here.
    let driver = &fs::canonicalize(driver).map_err(|error| Error::io("find", driver, &error))?;
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores.min(families.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(family) = families.get(index) else { break };
                    let answer = ask(driver, family, filter);
                    answers.lock().expect("no holder panics").push((index, answer));
                }
            });
        }
    });
    let mut answers = answers.into_inner().expect("no holder panics");
    answers.sort_by_key(|(index, _)| *index);
    let mut document = Document { driver: String::new(), families: Vec::new() };
    for (_, answer) in answers {
        let Answer { driver, report } = answer?;
        document.driver = driver;
        document.families.push(report);
    }
    Ok(document)
}

/// Asks a process by each spelling of the chip until the driver knows one.
fn ask(driver: &Path, family: &Family, filter: &str) -> Result<Answer> {
    let failure =
        |error: std::io::Error| Error::failure(format!("cannot start a process: {error}"));
    let program = std::env::current_exe().map_err(failure)?;
    let mut said = String::new();
    for spelling in family.spellings {
        let mut command = Command::new(&program);
        for changes_what_is_made in ["RADV_DEBUG", "RADV_PERFTEST", "ACO_DEBUG"] {
            command.env_remove(changes_what_is_made);
        }
        let output = command
            .args(["inspect-family", family.id, "--filter", filter])
            .env("RADV_FORCE_FAMILY", spelling)
            .env("VK_DRIVER_FILES", driver)
            .env("VK_ICD_FILENAMES", driver) // for loaders older than 1.3.207
            .env("MESA_SHADER_CACHE_DISABLE", "true")
            .stdin(Stdio::null())
            .output()
            .map_err(failure)?;
        said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.code() {
            Some(0) => {
                return serde_json::from_slice(&output.stdout)
                    .map_err(|error| Error::failure(format!("{}: {error}", family.id)));
            }
            Some(code) if code == i32::from(NO_DEVICE) => {}
            _ if said.contains(UNKNOWN_CHIP) => {}
            _ => {
                let said = said.strip_prefix("error: ").unwrap_or(&said);
                return Err(Error::failure(format!("{}: {said} ({})", family.id, output.status)));
            }
        }
    }
    Err(Error::input(format!(
        "{}: the driver of {} makes no device of {}; Mesa 22.3 and later do{}{said}",
        family.id,
        driver.display(),
        family.spellings.join(" or "),
        if said.is_empty() { "" } else { ": " },
    )))
}

/// Compiles for the chip that the environment names, and prints JSON.
#[derive(Args, Debug)]
pub struct InspectFamily {
    id: String,
    #[arg(long)]
    filter: String,
}

impl InspectFamily {
    pub fn run(self) -> Result<ExitCode> {
        let Some(radv) = Radv::open()? else { return Ok(ExitCode::from(NO_DEVICE)) };
        let mut pipelines = Vec::new();
        for pipeline in of_presets(&radv.facts)? {
            if !pipeline.shader.name.contains(&self.filter) {
                continue;
            }
            let shader = translate(&pipeline, SPIRV)?;
            let compiled = radv
                .compile(&shader, pipeline.bindings)
                .map_err(|error| error.context(pipeline.shader.name))?;
            pipelines.push(Row::of(&pipeline, shader.threads, &compiled)?);
        }
        let (name, adapter) = (radv.chip.clone(), Adapter::of(&radv.facts));
        let report = FamilyReport { family: self.id, name, adapter, pipelines };
        println!("{}", to_json(&Answer { driver: radv.version.clone(), report })?);
        Ok(ExitCode::SUCCESS)
    }
}
