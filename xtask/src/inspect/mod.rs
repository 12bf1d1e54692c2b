//! `cargo xtask inspect`: what a compiler for real GPUs makes of the shaders, without a GPU.

mod assembly;
mod bounds;
mod driver;
mod family;
mod pipelines;
mod radv;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use moodshader::{Error, Result, output};

use crate::bench::facts::Known;
use crate::output::{Format, to_json};
pub use driver::InspectFamily;
use family::{FAMILIES, Family};
pub use report::{Document, Row};

/// Compile every pipeline that the presets use for AMD's GPUs, and show what became of it.
///
/// Mesa's Vulkan driver for AMD, RADV, compiles without a card, and tells of each pipeline how many
/// registers it takes and spills, its memory, how many waves fit a SIMD, and its assembly, in whose
/// innermost loop multiply-adds and loads are counted. Nothing is run: these are the compiler's facts,
/// not times. On Debian and Ubuntu the driver comes with the package mesa-vulkan-drivers.
///
/// The exit status is 0 when all is well, 1 when a bound is broken, 2 for wrong usage.
#[derive(Args, Debug)]
pub struct Inspect {
    /// One family of chips; all by default.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Family::values()))]
    family: Option<String>,
    /// Only kernels whose identity contains this.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    filter: String,
    /// The driver's description (radeon_icd….json), where it is not the one that is installed.
    #[arg(long, value_name = "FILE")]
    driver: Option<PathBuf>,
    /// Fail where a kernel breaks its bounds, which are for Mesa 25, or where the facts that bench
    /// --predict uses are of other shaders.
    #[arg(long, conflicts_with_all = ["family", "filter", "format"])]
    check: bool,
    /// Write the facts that bench --predict uses anew.
    #[arg(long, conflicts_with_all = ["family", "filter", "format", "check"])]
    update: bool,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

impl Inspect {
    pub fn run(self) -> Result<ExitCode> {
        let driver = match &self.driver {
            Some(file) => file.clone(),
            None => driver::installed()?,
        };
        let wanted = |family: &&Family| match &self.family {
            Some(id) => id == family.id,
            None if self.check || self.update => bounds::FAMILIES.contains(&family.id),
            None => true,
        };
        let families: Vec<_> = FAMILIES.iter().filter(wanted).collect();
        let document = driver::compile(&driver, &families, &self.filter)?;
        if document.families.iter().all(|family| family.pipelines.is_empty()) {
            return Err(Error::input(format!(
                "no kernel of a preset matches --filter {}; run without --filter to see them all",
                self.filter
            )));
        }
        if self.update {
            bounds::require_release(&document.driver)?;
            Known::of(&document).write()?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.check {
            return check(&document);
        }
        match self.format {
            Format::Json => output::line(to_json(&document)?),
            Format::Text => document.print(),
        }
        match output::failure().filter(|failure| !output::is_closed(failure)) {
            None => Ok(ExitCode::SUCCESS),
            Some(failure) => Err(Error::failure(format!("cannot write the result: {failure}"))),
        }
    }
}

fn check(document: &Document) -> Result<ExitCode> {
    bounds::require_release(&document.driver)?;
    let mut broken = bounds::broken(document);
    broken.extend(Known::committed()?.differences(&Known::of(document)));
    for what in &broken {
        eprintln!("{what}");
    }
    if !broken.is_empty() {
        let next = "see `cargo xtask inspect` and docs/amd.md";
        return Err(Error::failure(format!("{} checks failed; {next}", broken.len())));
    }
    println!("{}: {} pipelines are within their bounds", document.driver, document.pipelines());
    Ok(ExitCode::SUCCESS)
}
