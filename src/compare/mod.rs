//! Several presets trained on the same clips with the same seeds, and one table of what came out.
//!
//! A comparison is a folder: `comparison.toml` says what is compared, `PRESET/seed-N` are run folders
//! like any other, `throughput.json` keeps what no run folder may hold (it would differ from run to
//! run), and `comparison.md`, `.csv`, `.json` and `.html`
//! have the table. Started again, a comparison goes on
//! where it stopped: finished runs stay, the one under way is resumed.

mod files;
mod folder;
mod judgement;
mod page;
mod table;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use crate::error::Kind;
use crate::exec::Device;
use crate::model::preset::Preset;
use crate::report::Progress;
use crate::run::{Config, Data, RunFolder, differences};
use crate::train::{Changes, Until, finished, resume, start};
use crate::{Error, Result};
use folder::Folder;

pub use judgement::{Judgement, Statistic};
pub use table::Table;

/// What is compared: `comparison.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Each preset is trained with the seeds 0, 1, … up to this number.
    pub seeds: u64,
    /// The clips, the same in all runs: `split_seed` is set.
    pub data: Data,
    /// The first is the one that the others are compared with.
    pub candidates: Vec<Candidate>,
}

/// A preset that takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// In the table, and the name of its folder.
    pub name: String,
    /// All of it.
    pub preset: Preset,
    /// A run that is finished already, elsewhere: it takes part as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<PathBuf>,
}

impl Candidate {
    /// How often it is trained.
    fn trainings(&self, seeds: u64) -> u64 {
        if self.run.is_some() { 0 } else { seeds }
    }
}

/// Where a comparison is computed, and how it ends early.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The device.
    pub device: &'a Device,
    /// As it was asked for: run folders keep it.
    pub asked: &'a str,
    /// When to stop.
    pub until: Until<'a>,
    /// Where notes go.
    pub progress: &'a Progress,
}

impl Comparison {
    /// Trains what is not trained yet, and writes the table after every preset.
    ///
    /// # Errors
    /// `out` holds another comparison (the message says what differs) or other runs; what a training
    /// fails with; [`Kind::Stopped`] when told to stop.
    pub fn run(&self, out: &Path, place: Place<'_>) -> Result<Table> {
        self.check()?;
        let opened = Folder::open(out, self)?;
        let all = self.trainings();
        let of = self.candidates.len();
        let mut table = Table { seeds: self.seeds, of, judgements: Vec::new() };
        let mut run = 0;
        for candidate in &self.candidates {
            for seed in 0..candidate.trainings(self.seeds) {
                run += 1;
                let what = format!("{}, seed {seed} (run {run} of {all})", candidate.name);
                if let Err(error) = self.train(candidate, seed, &what, &opened, place) {
                    if let Kind::Stopped | Kind::DeviceLost = error.kind {
                        return Err(self.cut_off(error.kind, run - 1, out));
                    }
                    opened.undo_if_empty(self);
                    return Err(error.context(what));
                }
            }
            let first = table.judgements.first();
            let judgement = Judgement::read(candidate, self.seeds, &opened, first)?;
            table.judgements.push(judgement);
            opened.write_table(&table)?;
        }
        Ok(table)
    }

    /// Runs that the comparison trains.
    pub fn trainings(&self) -> usize {
        self.candidates.iter().map(|candidate| candidate.trainings(self.seeds) as usize).sum()
    }

    /// Refuses what cannot be compared.
    fn check(&self) -> Result<()> {
        let Some(first) = self.candidates.first() else {
            return Err(Error::input("there is no preset to compare; name some with --presets"));
        };
        for (at, candidate) in self.candidates.iter().enumerate() {
            let name = &candidate.name;
            if Path::new(name).file_name() != Some(OsStr::new(name)) {
                return Err(Error::input(format!(
                    "--presets: `{name}` cannot be the name of a folder; give the file another name"
                )));
            }
            if self.candidates[..at].iter().any(|other| other.name == *name) {
                return Err(Error::input(format!("--presets names {name} twice")));
            }
            let here = candidate.run.is_none() && first.run.is_none();
            if here && self.data.moods.is_none() && candidate.preset.moods != first.preset.moods {
                return Err(Error::input(format!(
                    "{name} has other moods than {} ({} and {}); name those to compare them on with \
                     --moods",
                    first.name,
                    candidate.preset.moods.join(", "),
                    first.preset.moods.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// One run, from wherever it is to its end.
    fn train(
        &self,
        candidate: &Candidate,
        seed: u64,
        what: &str,
        folder: &Folder,
        Place { device, asked, until, progress }: Place<'_>,
    ) -> Result<()> {
        let path = folder.run(&candidate.name, seed);
        let outcome = if RunFolder::at(&path).is_begun() {
            check_run(&path, candidate, seed)?;
            if finished(&path, Changes::default())?.is_some() {
                progress.note(&format!("{what}: finished before"));
                return Ok(());
            }
            progress.note(what);
            resume(&path, Changes::default(), device, until, progress)?
        } else {
            progress.note(what);
            let config = Config {
                preset_name: candidate.name.clone(),
                seed,
                device: asked.to_owned(),
                init: None,
                data: self.data.clone(),
                preset: candidate.preset.clone(),
            };
            start(config, &path, device, until, progress)?
        };
        folder.add_pace(&candidate.name, seed, &outcome.pace, &device.describe())?;
        // A stop that comes while the report is written leaves that to do.
        match outcome.interrupted || until.stop.load(Ordering::Relaxed) {
            true => Err(Error::stopped("stopped")),
            false => Ok(()),
        }
    }

    fn cut_off(&self, kind: Kind, done: usize, out: &Path) -> Error {
        let how = match kind {
            Kind::DeviceLost => "the device was lost (a driver reset?)",
            _ => "stopped",
        };
        let all = self.trainings();
        let message = format!(
            "{how}; {done} of {all} runs are finished; go on with the same command and --out {}",
            out.display()
        );
        Error::of(kind, message)
    }
}

/// A run folder that someone has put in another's place would make the table wrong.
fn check_run(path: &Path, candidate: &Candidate, seed: u64) -> Result<()> {
    let config = Config::read(&RunFolder::at(path).config())?;
    // --moods has settled these.
    let expected = Preset { moods: config.preset.moods.clone(), ..candidate.preset.clone() };
    let differing = differences(&config.preset, &expected, "")?;
    let seeds = (config.seed != seed).then(|| format!("seed: {} there, {seed} here", config.seed));
    match differing.into_iter().chain(seeds).next() {
        None => Ok(()),
        Some(difference) => Err(Error::input(format!(
            "{} is not the run that the comparison began ({difference}); put it back, or choose \
             another --out",
            path.display()
        ))),
    }
}
