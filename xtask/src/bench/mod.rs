//! `cargo xtask bench`: how fast an adapter runs the kernels, against its own ceilings.

mod compare;
pub mod facts;
mod growth;
mod measure;
mod predict;
mod ranks;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;
use moodshader::exec::{AdapterSummary, Gpu, GpuOptions, choose};
use moodshader::model::preset::Preset;
use moodshader::{Error, Result};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

use self::ranks::Cluster;
use crate::device::adapter_choice;
use crate::output::{Format, to_json};

/// Measure every kernel at a preset's shapes and the whole update, against the adapter's ceilings.
///
/// First a multiply-add and a copy kernel find what the adapter can do at best. Then each step of a
/// training update and of the features is timed (by the adapter's clock where it has time stamps),
/// then whole updates by the host's clock, on fresh data, with a final wait. Run it on an idle
/// machine, and compare only what ran side by side.
#[derive(Args, Debug)]
pub struct Bench {
    /// Only kernels whose identity contains this; the whole update is then left out.
    #[arg(long, value_name = "ID")]
    filter: Option<String>,
    /// auto, or a part of an adapter's name or backend, or its number in `moodshader devices`.
    #[arg(long, default_value = "auto", value_name = "ADAPTER")]
    device: String,
    /// Whose shapes to measure.
    #[arg(long, default_value = "paper", value_name = "NAME", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(Preset::names()))]
    preset: String,
    /// Clips of a batch.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// An earlier result (JSON of this command) to compare with.
    #[arg(long, value_name = "FILE", conflicts_with = "predict")]
    compare: Option<PathBuf>,
    /// Measure whole updates only, at batches of 1 to 128, clips of 5 to 120 s and 64 to 256 mel bands.
    #[arg(long, conflicts_with_all = ["predict", "filter", "compare"])]
    growth: bool,
    /// Predict the update on a few common GPUs from their data sheets; nothing is measured.
    #[arg(long, conflicts_with_all = ["filter", "device"])]
    predict: bool,
    /// Predict so many cards together, each with --batch clips of a batch.
    #[arg(long, value_name = "N", requires = "predict", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..))]
    ranks: u32,
    /// What the link between them carries, in Gbit/s.
    #[arg(long, value_name = "GBITS", requires = "ranks", default_value_t = 10.0,
          value_parser = positive)]
    link: f64,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A whole result, as JSON shows it.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    adapter: Adapter,
    ceilings: Ceilings,
    kernels: Vec<Row>,
    /// None where `--filter` leaves it out.
    update: Option<Update>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Adapter {
    name: String,
    kind: String,
    backend: String,
    driver: String,
}

/// What the adapter does at best.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Ceilings {
    gflops: f64,
    gbytes_per_second: f64,
}

/// Launches of a kernel at one shape.
#[derive(Debug, Serialize, Deserialize)]
struct Row {
    kernel: String,
    shape: String,
    /// Launches like this one in an update; 0 for kernels outside it.
    count: usize,
    /// Time of one launch.
    seconds: f64,
    gflops: f64,
    gbytes_per_second: f64,
    /// Share of the ceiling that bounds it: the greater of its shares of both.
    share_of_ceiling: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Update {
    preset: String,
    batch: usize,
    seconds: f64,
    clips_per_second: f64,
    dispatches: usize,
    peak_device_bytes: u64,
    gflops: f64,
    /// Counted multiply-adds of the whole update in its time, of the adapter's ceiling.
    share_of_ceiling: f64,
    /// What the host spends on writing the inputs and recording and submitting the commands.
    recording_seconds: f64,
    /// Clips a second of the same plan without the backward pass.
    inference_clips_per_second: f64,
}

fn positive(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text} is no number above 0"))
}

impl Bench {
    pub fn run(self) -> Result<ExitCode> {
        let batch = self.batch as usize;
        let mut preset = Preset::named(&self.preset)?;
        preset.train.batch = batch;
        preset.validate()?;
        if self.predict {
            let cluster = Cluster { ranks: self.ranks, gbits_per_second: self.link };
            predict::run(&preset, batch, cluster, self.format)?;
            return Ok(ExitCode::SUCCESS);
        }
        let earlier = self.compare.as_deref().map(compare::load).transpose()?;
        let gpu = self.open()?;
        let summary = gpu.summary().clone();
        eprintln!("device: {summary}");
        if self.growth {
            growth::run(&gpu, &preset, batch, self.format)?;
            return Ok(ExitCode::SUCCESS);
        }
        let ceilings = measure::ceilings(&gpu)?;
        eprintln!(
            "ceilings: {:.1} GFLOP/s in multiply-adds, {:.1} GB/s in a copy",
            ceilings.gflops, ceilings.gbytes_per_second
        );
        let filter = self.filter.as_deref().unwrap_or("");
        let kernels = measure::kernels(&gpu, &preset, batch, ceilings, filter)?;
        if kernels.is_empty() {
            return Err(Error::input(format!(
                "no kernel of {} matches --filter {filter}; run without --filter to see them all",
                self.preset
            )));
        }
        let update = match self.filter {
            Some(_) => None,
            None => Some(measure::update(&gpu, &self.preset, &preset, batch, ceilings)?),
        };
        let document = Document { adapter: Adapter::of(summary), ceilings, kernels, update };
        match self.format {
            Format::Json => println!("{}", to_json(&document)?),
            Format::Text => document.print(),
        }
        if let Some(earlier) = earlier {
            compare::print(&earlier, &document);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn open(&self) -> Result<Arc<Gpu>> {
        let choice =
            adapter_choice(&self.device, "bench measures shaders; --device names an adapter")?;
        match choose(&choice)? {
            Some(adapter) => Ok(Arc::new(Gpu::open(adapter, GpuOptions::default())?)),
            None => Err(Error::input("no adapter was found")),
        }
    }
}

impl Adapter {
    fn of(summary: AdapterSummary) -> Self {
        let AdapterSummary { name, kind, backend, driver } = summary;
        Self { name, kind: kind.to_owned(), backend, driver }
    }
}

impl Document {
    /// The tables for people: kernels by their part of the update, then the update.
    fn print(&self) {
        let mut rows: Vec<_> = self.kernels.iter().collect();
        rows.sort_by(|a, b| b.total().total_cmp(&a.total()));
        let whole: f64 = rows.iter().map(|row| row.total()).sum();
        let wide = rows.iter().map(|row| row.kernel.len()).max().unwrap_or(6);
        println!(
            "{:wide$}  {:>9}  {:>5}  {:>6}  {:>8}  {:>7}  {:>7}  shape",
            "kernel", "ms", "times", "share", "GFLOP/s", "GB/s", "ceiling"
        );
        for row in rows {
            let share = match row.count {
                0 => "-".to_owned(),
                _ => format!("{:.1}%", 100.0 * row.total() / whole),
            };
            println!(
                "{:wide$}  {:>9.3}  {:>5}  {:>6}  {:>8.1}  {:>7.1}  {:>6.1}%  {}",
                row.kernel,
                1e3 * row.seconds,
                row.count,
                share,
                row.gflops,
                row.gbytes_per_second,
                100.0 * row.share_of_ceiling,
                row.shape
            );
        }
        if let Some(update) = &self.update {
            println!(
                "\nupdate of {} at batch {}: {:.1} ms, {:.2} clips/s, {:.1} GFLOP/s ({:.0} % of the \
                 ceiling)",
                update.preset,
                update.batch,
                1e3 * update.seconds,
                update.clips_per_second,
                update.gflops,
                100.0 * update.share_of_ceiling
            );
            println!(
                "{} dispatches, {:.1} MiB of device memory, {:.1} ms of recording; prediction {:.2} \
                 clips/s",
                update.dispatches,
                update.peak_device_bytes as f64 / f64::from(1 << 20),
                1e3 * update.recording_seconds,
                update.inference_clips_per_second
            );
        }
    }
}

impl Row {
    /// Seconds of an update.
    fn total(&self) -> f64 {
        self.count as f64 * self.seconds
    }

    /// Whether both are of the same kernel at the same shape.
    fn matches(&self, other: &Self) -> bool {
        self.kernel == other.kernel && self.shape == other.shape
    }
}
