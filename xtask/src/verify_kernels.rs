//! `cargo xtask verify-kernels`: every kernel on an adapter against its CPU reference in f64.

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::{Instant, SystemTime};

use clap::Args;
use moodshader::Result;
use moodshader::dataset::cache::default_root;
use moodshader::exec::verification::{Report, cases, verify};
use moodshader::exec::{Adapter, AdapterSummary, Gpu, GpuOptions, Record, adapters, choose};
use moodshader::kernels::Facts;
use moodshader::kernels::verify::AnyCase;

use serde::Serialize;

use crate::device::adapter_choice;
use crate::output::{Format, to_json};

/// A pipeline that takes longer to compile keeps people waiting: it is named. Some drivers compile
/// at the first launch, so that counts too.
const SLOW_PIPELINE: f64 = 1.5;

/// Run every kernel on an adapter against its CPU reference, on fresh random inputs.
///
/// Each kernel runs at several shapes with its outputs poisoned beforehand. The error is
/// ‖gpu − reference‖ / ‖reference‖, the largest over its outputs; the reference computes in f64.
/// The exit status is 0 when every case is within its tolerance, 1 when one is not, 2 for wrong
/// usage.
#[derive(Args, Debug)]
pub struct VerifyKernels {
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
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// One adapter's results, as JSON shows them.
#[derive(Debug, Serialize)]
struct Document {
    adapter: AdapterSummary,
    kernels: Vec<Row>,
    passed: bool,
}

/// An error that is infinite (a value that is not finite, a kernel that did not run) is `null`.
#[derive(Debug, Serialize)]
struct Row {
    kernel: &'static str,
    shape: String,
    error: f64,
    tolerance: f64,
    passed: bool,
    seconds: f64,
}

#[derive(Debug, Serialize)]
struct Documents {
    adapters: Vec<Document>,
    passed: bool,
}

impl VerifyKernels {
    pub fn run(self) -> Result<ExitCode> {
        // Better said before an adapter is opened.
        cases(&self.filter, &Facts::PORTABLE)?;
        let adapters = self.adapters()?;
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let mut documents = Vec::new();
        for adapter in adapters {
            documents.push(self.verify_on(adapter, seed)?);
        }
        let passed = documents.iter().all(|document| document.passed);
        if self.format == Format::Json {
            let text = if self.all_devices {
                to_json(&Documents { adapters: documents, passed })
            } else {
                to_json(&documents[0])
            };
            println!("{}", text?);
        }
        Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The adapters asked for, at least one.
    fn adapters(&self) -> Result<Vec<Adapter>> {
        let choice = adapter_choice(
            &self.device,
            "--device cpu would compare the CPU reference with itself; verify-kernels needs an adapter",
        )?;
        if self.all_devices {
            let all = adapters();
            if !all.is_empty() {
                return Ok(all);
            }
        }
        Ok(choose(&choice)?.into_iter().collect())
    }

    fn verify_on(&self, adapter: Adapter, seed: u64) -> Result<Document> {
        let start = Instant::now();
        let summary = AdapterSummary::of(&adapter.get_info());
        eprintln!("device: {summary}");
        eprintln!("seed: {seed}");
        let gpu = match Gpu::open(adapter, GpuOptions::default()) {
            Ok(gpu) => gpu,
            Err(error) => {
                eprintln!("error: {error}");
                return Ok(Document { adapter: summary, kernels: Vec::new(), passed: false });
            }
        };
        let cases = cases(&self.filter, gpu.facts())?;
        compile(&gpu, &cases);
        let mut table = (self.format == Format::Text).then(|| Table::begin(&cases));
        let mut reports = Vec::new();
        for case in &cases {
            let report = verify(&gpu, case, seed);
            // That would fail this case and all the others, and says nothing of their kernels.
            gpu.alive()?;
            if let Some(table) = &mut table {
                table.row(&report);
            }
            reports.push(report);
        }
        let failures: Vec<_> = reports.iter().filter(|report| !report.passed()).collect();
        for report in &failures {
            eprintln!("FAILED {report}");
            eprintln!(
                "  again: cargo xtask verify-kernels --filter {} --seed {seed} --device '{}'",
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
        let kernels = reports.into_iter().map(Row::of).collect();
        Ok(Document { adapter: summary, kernels, passed })
    }
}

/// Compiles all pipelines in parallel and names the slow ones. What fails shows again in its row.
fn compile(gpu: &Gpu, cases: &[AnyCase]) {
    let start = Instant::now();
    let compilations = gpu.compile_all(cases.iter().map(|case| &case.launch));
    let slowest = compilations.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds));
    let Some(slowest) = slowest else { return };
    eprintln!(
        "{} pipelines compiled in {:.1} s, the slowest ({}) in {:.2} s",
        compilations.len(),
        start.elapsed().as_secs_f64(),
        slowest.schedule,
        slowest.seconds
    );
    for slow in compilations.iter().filter(|compilation| compilation.seconds > SLOW_PIPELINE) {
        eprintln!("note: {} took {:.1} s to compile", slow.schedule, slow.seconds);
    }
}

impl Row {
    fn of(report: Report) -> Self {
        Self {
            passed: report.passed(),
            kernel: report.kernel,
            shape: report.shape,
            error: report.error,
            tolerance: report.tolerance,
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
        println!(
            "{kernel:wide$}  {case:wide_case$}  {error:>8}  {tolerance:>9}  {time:>7}  \
             {verdict:7}  {rest}"
        );
    }
}
