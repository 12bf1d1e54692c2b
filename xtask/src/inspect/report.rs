//! What is told of every pipeline, as JSON and as tables.

use std::collections::BTreeMap;

use moodshader::output::line;
use moodshader::{Error, Result};
use serde::{Deserialize, Serialize};

use super::assembly::{self, Counts};
use super::pipelines::Pipeline;
use super::radv::Compiled;
use crate::bench::facts::Adapter;

/// A whole result.
#[derive(Debug, Serialize, Deserialize)]
pub struct Document {
    /// `Mesa 25.0.7-2`
    pub driver: String,
    pub families: Vec<FamilyReport>,
}

/// One family's pipelines.
#[derive(Debug, Serialize, Deserialize)]
pub struct FamilyReport {
    /// As `--family` takes it.
    pub family: String,
    /// What the driver calls the chip.
    pub name: String,
    pub adapter: Adapter,
    pub pipelines: Vec<Row>,
}

/// What became of one pipeline.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The schedule's name.
    pub kernel: String,
    pub constants: BTreeMap<String, f64>,
    /// One preset that uses it.
    pub preset: String,
    /// Of a workgroup.
    pub threads: u32,
    /// Threads of a wave.
    pub subgroup: u32,
    /// Vector registers of a thread.
    pub vgprs: u64,
    /// Scalar registers of a wave.
    pub sgprs: u64,
    pub spilled_vgprs: u64,
    pub spilled_sgprs: u64,
    /// Workgroup memory.
    pub lds_bytes: u64,
    /// Memory of a wave for spilled registers and for arrays that are no registers.
    pub scratch_bytes: u64,
    /// How many fit a SIMD at once, counted by the fewest threads that a wave can have: on RDNA, a wave
    /// of 64 is two.
    pub waves: u64,
    pub instructions: u64,
    /// None where no loop has multiply-adds.
    pub inner_loop: Option<Counts>,
    pub whole: Counts,
}

impl Row {
    pub fn of(pipeline: &Pipeline, threads: u32, compiled: &Compiled) -> Result<Self> {
        let statistic = |name: &str| {
            compiled.statistics.get(name).copied().ok_or_else(|| {
                Error::failure(format!("this release of RADV does not tell {name:?}; use Mesa 25"))
            })
        };
        let reading = assembly::read(&compiled.assembly);
        let constants = pipeline.constants.iter().map(|&(name, value)| (name.to_owned(), value));
        Ok(Self {
            kernel: pipeline.shader.name.to_owned(),
            constants: constants.collect(),
            preset: pipeline.preset.to_owned(),
            threads,
            subgroup: compiled.subgroup,
            vgprs: statistic("VGPRs")?,
            sgprs: statistic("SGPRs")?,
            spilled_vgprs: statistic("Spilled VGPRs")?,
            spilled_sgprs: statistic("Spilled SGPRs")?,
            lds_bytes: statistic("LDS size")?,
            scratch_bytes: statistic("Scratch size")?,
            waves: statistic("Subgroups per SIMD")?,
            instructions: statistic("Instructions")?,
            inner_loop: reading.inner_loop,
            whole: reading.whole,
        })
    }

    /// The kernel, with its constants if they are wanted.
    pub fn label(&self, with_constants: bool) -> String {
        let constants: Vec<_> =
            self.constants.iter().map(|(name, value)| format!("{name}={value}")).collect();
        match with_constants && !constants.is_empty() {
            true => format!("{} ({})", self.kernel, constants.join(", ")),
            false => self.kernel.clone(),
        }
    }

    pub fn spills(&self) -> bool {
        self.spilled_vgprs + self.spilled_sgprs > 0
    }
}

impl Document {
    pub fn pipelines(&self) -> usize {
        self.families.iter().map(|family| family.pipelines.len()).sum()
    }

    /// The tables for people.
    pub fn print(&self) {
        for family in &self.families {
            line(format_args!("{}: {}, {}", family.family, family.name, self.driver));
            family.print();
            line("");
        }
    }
}

impl FamilyReport {
    fn print(&self) {
        let rows = &self.pipelines;
        let shared = |row: &Row| rows.iter().filter(|other| other.kernel == row.kernel).count() > 1;
        let labels: Vec<_> = rows.iter().map(|row| row.label(shared(row))).collect();
        let wide = labels.iter().map(String::len).max().unwrap_or(6);
        line(format_args!(
            "{:wide$}  {:>5} {:>5} {:>11} {:>6} {:>7} {:>5} {:>6} {:>5} {:>5} {:>5}",
            "kernel",
            "VGPRs",
            "SGPRs",
            "spilled V/S",
            "LDS",
            "scratch",
            "waves",
            "instr.",
            "FMA",
            "loads",
            "LDS l."
        ));
        for (row, label) in rows.iter().zip(labels) {
            let [share, loads, workgroup_loads] = match row.inner_loop {
                None => ["-"; 3].map(str::to_owned),
                Some(counts) => [
                    format!("{:.0}%", 100.0 * counts.multiply_add_share()),
                    counts.loads.to_string(),
                    counts.workgroup_loads.to_string(),
                ],
            };
            line(format_args!(
                "{label:wide$}  {:>5} {:>5} {:>11} {:>6} {:>7} {:>5} {:>6} {share:>5} {loads:>5} {workgroup_loads:>5}",
                row.vgprs,
                row.sgprs,
                format!("{}/{}", row.spilled_vgprs, row.spilled_sgprs),
                row.lds_bytes,
                row.scratch_bytes,
                row.waves,
                row.instructions,
            ));
        }
        let spilling = rows.iter().filter(|row| row.spills()).count();
        let registers = rows.iter().map(|row| row.vgprs).max().unwrap_or(0);
        let waves = rows.iter().map(|row| row.waves).min().unwrap_or(0);
        line(format_args!(
            "{} pipelines: {spilling} spill registers; at most {registers} vector registers, at \
             least {waves} waves a SIMD (FMA, loads of memory and of LDS: in the innermost loop with \
             the most multiply-adds)",
            rows.len()
        ));
    }
}
