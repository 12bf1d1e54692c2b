//! `cargo xtask fuzz`: does any input break it?

mod full_output;
mod limits;
mod mutation;
mod targets;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use moodshader::panics::caught;
use moodshader::{Error, Result};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

pub use full_output::Program;
use targets::Target;

#[global_allocator]
static MEMORY: limits::Counting = limits::Counting;

/// Change files of every kind at random, and see whether all is heard, read or refused as it should.
///
/// Audio of every format, tags written into it, manifests, presets, what a run leaves, checkpoints
/// and their weights are changed and read in this process, each within 10 s and 512 MiB. Commands are
/// also run with an output that takes no more. A panic, an answer that cannot be (a probability of
/// NaN, a tag that was promised and not written), too much time or memory is a finding: the input is
/// kept and named. The same seed gives the same inputs in the same order.
///
/// The exit status is 0 without a finding, 1 with one, 2 for wrong usage.
#[derive(Args, Debug)]
pub struct Fuzz {
    /// Draws the inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Only kinds of input whose name contains this: audio, tags, manifests, presets, runs,
    /// checkpoints, weights, output.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "KIND")]
    filter: String,
}

/// Findings that are told one by one.
const SHOWN: usize = 20;

/// What was done with inputs of a kind.
#[derive(Clone, Copy, Default)]
struct Tally {
    tried: u64,
    /// Taken; the others were refused.
    taken: u64,
    findings: u64,
}

impl Fuzz {
    pub fn run(self) -> Result<ExitCode> {
        let minutes = Duration::try_from_secs_f64(60.0 * self.minutes).map_err(|_| {
            Error::input(format!("--minutes {} is no length of time", self.minutes))
        })?;
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.parent().expect("xtask lies in the project's folder");
        let mut targets = targets::all(&root.join("tests/fixtures/audio"))?;
        targets.retain(|target| target.name.contains(&self.filter));
        let output = full_output::NAME.contains(&self.filter);
        if targets.is_empty() && !output {
            return Err(Error::input(format!("no kind of input contains {:?}", self.filter)));
        }
        // Runs with other seeds may go on at the same time.
        let folder = root.join("target/fuzz").join(self.seed.to_string());
        fs::create_dir_all(&folder).map_err(|error| Error::io("make", &folder, &error))?;

        limits::watch();
        let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
        let (start, mut number, mut shown) = (Instant::now(), 0, 0);
        while start.elapsed() < minutes {
            for target in &targets {
                let tally = tallies.entry(target.name).or_default();
                let finding = self.try_one(target, number, &folder, tally)?;
                shown += tell(finding, shown);
            }
            if output && number.is_multiple_of(full_output::EVERY) {
                let tally = tallies.entry(full_output::NAME).or_default();
                let finding = full_output::try_one(self.seed, number, &folder, tally)?;
                shown += tell(finding, shown);
            }
            number += 1;
        }
        let findings: u64 = tallies.values().map(|tally| tally.findings).sum();
        println!(
            "{:<12} {:>9} {:>9} {:>9} {:>9}",
            "input", "tried", "taken", "refused", "findings"
        );
        for (name, tally) in tallies {
            let Tally { tried, taken, findings } = tally;
            let refused = tried - taken - findings;
            println!("{name:<12} {tried:>9} {taken:>9} {refused:>9} {findings:>9}");
        }
        println!("seed {}, {:.1} minutes", self.seed, start.elapsed().as_secs_f64() / 60.0);
        Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Draws the input of this number and tries it. Returns what is wrong with it.
    fn try_one(
        &self,
        target: &Target,
        number: u64,
        folder: &Path,
        tally: &mut Tally,
    ) -> Result<Option<String>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(number);
        let (name, bytes) = target.draw(&mut rng);
        let place = folder.join(format!("{}-{name}", target.name));
        let write = |place: &PathBuf| {
            fs::write(place, &bytes).map_err(|error| Error::io("write", place, &error))
        };
        write(&place)?;
        let what = place.display().to_string();
        let outcome = limits::within(what, || {
            caught(|| (target.check)(&place))
                .unwrap_or_else(|message| Err(format!("panics: {message}")))
        });
        tally.tried += 1;
        match outcome {
            Ok(taken) => {
                tally.taken += u64::from(taken);
                // What was written beside it, too.
                let _ = fs::remove_file(&place);
                Ok(None)
            }
            Err(fault) => {
                tally.findings += 1;
                let kept = folder.join(format!("finding-{number}-{name}"));
                write(&kept)?;
                Ok(Some(format!("{} {fault}", kept.display())))
            }
        }
    }
}

/// Shows a finding unless there were many; counts it.
fn tell(finding: Option<String>, shown: usize) -> usize {
    let Some(finding) = finding else { return 0 };
    if shown < SHOWN {
        eprintln!("FINDING: {finding}");
    }
    1
}
