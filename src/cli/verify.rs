//! `moodshader verify`: every kernel on an adapter against its CPU reference in f64.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use clap::Args;
use serde::Serialize;

use super::{Format, check_result, to_json};
use crate::dataset::cache::default_root;
use crate::exec::verification::{Report, cases, verify};
use crate::exec::{
    Adapter, AdapterSummary, DeviceChoice, Gpu, GpuOptions, Record, adapters, choose,
};
use crate::files::write_atomically;
use crate::kernels::Facts;
use crate::kernels::verify::AnyCase;
use crate::model::bench::UpdateBench;
use crate::model::preset::Preset;
use crate::output;
use crate::{Error, Result};

/// A pipeline that takes longer to compile keeps people waiting: it is named. Some drivers compile
/// at the first launch, so that counts too.
const SLOW_PIPELINE: f64 = 1.5;

/// Run every kernel on an adapter against its CPU reference, on fresh random inputs.
///
/// Each kernel runs at several shapes with its outputs poisoned beforehand. The error is
/// ‖gpu − reference‖ / ‖reference‖, the largest over its outputs; the reference computes in f64.
/// The exit status is 0 when every case is within its tolerance, 1 when one is not, 2 for wrong
/// usage. `moodshader devices` remembers the verdict.
#[derive(Args, Debug)]
pub struct Verify {
    /// Only kernels whose identity contains this, such as layers/lstm.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    filter: String,
    /// auto, or a part of an adapter's name or backend, or its number in `moodshader devices`.
    #[arg(long, default_value = "auto", value_name = "ADAPTER", conflicts_with = "all_devices")]
    device: String,
    /// Every adapter of this machine, one after the other.
    ///
    /// JSON is then {"adapters": [one document for each, as without this flag], "passed": bool}.
    #[arg(long)]
    all_devices: bool,
    /// Draws the same inputs again [default: a new one for each run, which is printed].
    #[arg(long)]
    seed: Option<u64>,
    /// Text for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write what was found to this file as well, as one JSON document to send in: the program's version, the
    /// system, the adapters with their drivers, every case, and how long an update of `demo` takes.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// The preset whose update a report times.
const TIMED: &str = "demo";
/// Its updates, at least.
const UPDATES: u32 = 10;

/// What people send in.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    version: &'static str,
    system: String,
    adapters: Vec<SentAdapter<'a>>,
    passed: bool,
}

#[derive(Debug, Serialize)]
struct SentAdapter<'a> {
    adapter: &'a AdapterSummary,
    /// What draws the same inputs again.
    seed: u64,
    /// The kernels that were asked for, where not all were.
    #[serde(skip_serializing_if = "str::is_empty")]
    filter: &'a str,
    /// For all pipelines together.
    compile_seconds: f64,
    kernels: Vec<SentRow<'a>>,
    passed: bool,
    /// Why there are no more kernels: the adapter cannot be opened, or was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    /// Nothing where the adapter could not do it.
    update: Option<Timed>,
}

/// A row with what a person asks next.
#[derive(Debug, Serialize)]
struct SentRow<'a> {
    case: &'static str,
    worst: &'a str,
    #[serde(flatten)]
    row: &'a Row,
}

impl<'a> SentAdapter<'a> {
    fn new(document: &'a Document, update: Option<Timed>) -> Self {
        let row = |row: &'a Row| SentRow { case: row.case, worst: &row.worst, row };
        Self {
            adapter: &document.adapter,
            seed: document.seed,
            filter: &document.filter,
            compile_seconds: document.compile_seconds,
            kernels: document.kernels.iter().map(row).collect(),
            passed: document.passed,
            error: document.error.as_deref(),
            update,
        }
    }
}

/// A training update, timed.
#[derive(Clone, Debug, Serialize)]
struct Timed {
    preset: &'static str,
    batch: usize,
    seconds: f64,
    clips_per_second: f64,
}

/// One adapter's results, as JSON shows them.
#[derive(Debug, Serialize)]
struct Document {
    adapter: AdapterSummary,
    kernels: Vec<Row>,
    passed: bool,
    // Of the report alone.
    #[serde(skip)]
    seed: u64,
    #[serde(skip)]
    filter: String,
    #[serde(skip)]
    compile_seconds: f64,
    #[serde(skip)]
    error: Option<String>,
    /// The same, of one that was lost.
    #[serde(skip)]
    lost: Option<Error>,
}

/// An error that is infinite (a value that is not finite, a kernel that did not run) is `null`.
#[derive(Debug, Serialize)]
struct Row {
    kernel: &'static str,
    #[serde(skip)]
    case: &'static str,
    shape: String,
    error: f64,
    tolerance: f64,
    /// The element that is furthest off, or why the kernel did not run.
    #[serde(skip)]
    worst: String,
    passed: bool,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Documents {
    adapters: Vec<Document>,
    passed: bool,
}

impl Verify {
    /// # Errors
    /// A case that is not within its tolerance; an adapter that there is not, or that fails.
    pub fn run(&self) -> Result<()> {
        if let Some(report) = &self.report {
            check_result(report, None::<&Path>)?;
        }
        // Better said before an adapter is opened.
        cases(&self.filter, &Facts::PORTABLE)?;
        let adapters = self.adapters()?;
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let (mut documents, mut timed, mut opened) = (Vec::new(), Vec::new(), false);
        // Of the report alone, since `auto` takes the next.
        let mut passed_over = Vec::new();
        let mut lost = None;
        let mut rest = adapters.into_iter().peekable();
        while let Some(adapter) = rest.next() {
            let (mut document, gpu) = self.verify_on(adapter, seed)?;
            if gpu.is_none() && self.takes_the_next() && rest.peek().is_some() {
                eprintln!("going on to the next adapter");
                passed_over.push(document);
                continue;
            }
            opened |= gpu.is_some();
            lost = lost.or(document.lost.take());
            timed.push(match (&self.report, gpu) {
                (Some(_), Some(gpu)) if document.error.is_none() => time_updates(&gpu),
                _ => None,
            });
            documents.push(document);
            if self.takes_the_next() {
                break;
            }
        }
        let passed = documents.iter().all(|document| document.passed);
        if let Some(path) = &self.report {
            let passed = passed && passed_over.is_empty();
            let adapters = passed_over.iter().map(|document| (document, None));
            let adapters = adapters.chain(documents.iter().zip(timed));
            let adapters =
                adapters.map(|(document, update)| SentAdapter::new(document, update)).collect();
            let system = format!("{} {}", std::env::consts::OS, std::env::consts::ARCH);
            let sent = Sent { version: env!("CARGO_PKG_VERSION"), system, adapters, passed };
            write_atomically(path, (to_json(&sent)? + "\n").as_bytes())?;
            eprintln!("report: {}", path.display());
        }
        if self.format == Format::Json {
            let text = if self.all_devices {
                to_json(&Documents { adapters: documents, passed })
            } else {
                to_json(&documents[0])
            };
            output::line(text?);
        }
        if let Some(error) = lost {
            return Err(error);
        }
        match (passed, opened) {
            (true, _) => Ok(()),
            (false, true) => Err(Error::failure(
                "a kernel is wrong here: do not trust what this adapter computes with this driver",
            )),
            (false, false) => Err(Error::failure(
                "no kernel has run; name another adapter of `moodshader devices` with --device",
            )),
        }
    }

    /// Whether an adapter that cannot be opened is passed over, as with every command's `--device auto`.
    fn takes_the_next(&self) -> bool {
        !self.all_devices && self.device.parse() == Ok(DeviceChoice::Auto)
    }

    /// The adapters asked for, at least one.
    fn adapters(&self) -> Result<Vec<Adapter>> {
        let choice = match self.device.parse().unwrap_or_else(|never| match never {}) {
            DeviceChoice::Auto => DeviceChoice::Adapter,
            DeviceChoice::Cpu => {
                return Err(Error::input(
                    "--device cpu would compare the CPU reference with itself; this needs an adapter \
                     (`moodshader devices` lists them)",
                ));
            }
            other => other,
        };
        if self.all_devices || self.takes_the_next() {
            let all = adapters();
            if !all.is_empty() {
                return Ok(all);
            }
        }
        Ok(choose(&choice)?.into_iter().collect())
    }

    fn verify_on(&self, adapter: Adapter, seed: u64) -> Result<(Document, Option<Arc<Gpu>>)> {
        let start = Instant::now();
        let summary = AdapterSummary::of(&adapter.get_info());
        eprintln!("device: {summary}");
        eprintln!("seed: {seed}");
        let mut document = Document {
            adapter: summary.clone(),
            seed,
            filter: self.filter.clone(),
            compile_seconds: 0.0,
            kernels: Vec::new(),
            passed: false,
            error: None,
            lost: None,
        };
        let gpu = match Gpu::open(adapter, GpuOptions::default()) {
            Ok(gpu) => Arc::new(gpu),
            Err(error) => {
                eprintln!("error: {error}");
                return Ok((Document { error: Some(error.to_string()), ..document }, None));
            }
        };
        let cases = cases(&self.filter, gpu.facts())?;
        document.compile_seconds = compile(&gpu, &cases);
        let mut table = (self.format == Format::Text).then(|| Table::begin(&cases));
        let mut reports = Vec::new();
        for case in &cases {
            let report = verify(&gpu, case, seed);
            // That would fail this case and all the others, and says nothing of their kernels.
            if let Err(error) = gpu.alive() {
                document.kernels = reports.into_iter().map(Row::of).collect();
                let said = Some(error.to_string());
                return Ok((Document { error: said, lost: Some(error), ..document }, Some(gpu)));
            }
            if let Some(table) = &mut table {
                table.row(&report);
            }
            reports.push(report);
        }
        let failures: Vec<_> = reports.iter().filter(|report| !report.passed()).collect();
        for report in &failures {
            eprintln!("FAILED {report}");
            eprintln!(
                "  again: moodshader verify --filter {} --seed {seed} --device '{}'",
                report.kernel, summary
            );
        }
        for report in reports.iter().filter(|report| report.seconds > SLOW_PIPELINE) {
            eprintln!(
                "note: {}, {} took {:.1} s to run",
                report.kernel, report.case, report.seconds
            );
        }
        eprintln!(
            "{} of {} cases passed in {:.1} s",
            reports.len() - failures.len(),
            reports.len(),
            start.elapsed().as_secs_f64()
        );
        let passed = failures.is_empty();
        // A part of the kernels says nothing of the rest.
        if self.filter.is_empty() {
            let mut failed: Vec<_> =
                failures.iter().map(|report| report.kernel.to_owned()).collect();
            failed.dedup();
            let record = Record { adapter: summary.to_string(), cases: reports.len(), failed };
            if let Err(error) = default_root().and_then(|cache| record.keep(&summary, &cache)) {
                eprintln!("note: `moodshader devices` will not know of this: {error}");
            }
        }
        document.kernels = reports.into_iter().map(Row::of).collect();
        Ok((Document { passed, ..document }, Some(gpu)))
    }
}

/// How long an update of [`TIMED`] takes.
fn time_updates(gpu: &Arc<Gpu>) -> Option<Timed> {
    let time = || {
        let preset = Preset::named(TIMED)?;
        let batch = preset.train.batch;
        let seconds = UpdateBench::training(gpu, &preset, batch)?.seconds_of_a_step(UPDATES)?;
        Ok(Timed { preset: TIMED, batch, seconds, clips_per_second: batch as f64 / seconds })
    };
    time().inspect_err(|error: &Error| eprintln!("note: an update cannot be timed: {error}")).ok()
}

/// Compiles all pipelines in parallel and names the slow ones; the seconds that it took. What fails shows again
/// in its row.
fn compile(gpu: &Gpu, cases: &[AnyCase]) -> f64 {
    let start = Instant::now();
    let compilations = gpu.compile_all(cases.iter().map(|case| &case.launch));
    let slowest = compilations.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let seconds = start.elapsed().as_secs_f64();
    let Some(slowest) = slowest else { return seconds };
    eprintln!(
        "{} pipelines compiled in {:.1} s, the slowest ({}) in {:.2} s",
        compilations.len(),
        seconds,
        slowest.schedule,
        slowest.seconds
    );
    for slow in compilations.iter().filter(|compilation| compilation.seconds > SLOW_PIPELINE) {
        eprintln!("note: {} took {:.1} s to compile", slow.schedule, slow.seconds);
    }
    seconds
}

impl Row {
    fn of(report: Report) -> Self {
        Self {
            passed: report.passed(),
            kernel: report.kernel,
            case: report.case,
            shape: report.shape,
            error: report.error,
            tolerance: report.tolerance,
            worst: report.worst,
            seconds: report.seconds,
        }
    }
}

/// A seed short enough to type.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(now.subsec_nanos()) ^ (now.as_secs() & 0xffff)
}

/// The table for people, on standard output, a row as soon as it is known.
struct Table {
    kernel: usize,
    case: usize,
    red: bool,
}

impl Table {
    fn begin(cases: &[AnyCase]) -> Self {
        let widest = |f: fn(&AnyCase) -> &str| cases.iter().map(|c| f(c).len()).max().unwrap_or(0);
        let table = Self {
            kernel: widest(|case| case.launch.shader.name).max(6),
            case: widest(|case| case.name).max(4),
            red: std::io::stdout().is_terminal(),
        };
        table.line(
            ["kernel", "case", "error", "tolerance", "ms", "verdict"],
            "worst element · shape",
        );
        table
    }

    fn row(&self, report: &Report) {
        let verdict = match (report.passed(), self.red) {
            (true, _) => "ok",
            (false, false) => "FAILED",
            (false, true) => "\x1b[31mFAILED\x1b[0m",
        };
        self.line(
            [
                report.kernel,
                report.case,
                &format!("{:.1e}", report.error),
                &format!("{:.0e}", report.tolerance),
                &format!("{:.1}", 1e3 * report.seconds),
                verdict,
            ],
            &format!("{} · {}", report.worst, report.shape),
        );
    }

    fn line(&self, [kernel, case, error, tolerance, time, verdict]: [&str; 6], rest: &str) {
        let Self { kernel: wide, case: wide_case, .. } = *self;
        output::line(format_args!(
            "{kernel:wide$}  {case:wide_case$}  {error:>8}  {tolerance:>9}  {time:>7}  \
             {verdict:7}  {rest}"
        ));
    }
}
