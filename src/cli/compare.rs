//! `moodshader compare`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::source::{Sets, Source, apply, default_out};
use super::{Common, open_device, stop_on_interrupt};
use crate::compare::{Candidate, Comparison, Place};
use crate::dataset::labels::MoodChoice;
use crate::dataset::manifest;
use crate::exec::Device;
use crate::model::preset::{Output, Preset};
use crate::output;
use crate::run::{Config, Data, RunFolder};
use crate::train::{Changes, Until, finished};
use crate::{Error, Result};

/// Train several presets on the same clips, and tell in one table how they compare.
///
/// Each preset is trained on the same split with the same seeds. The table has parameters, pace,
/// losses at the best epoch and their gap, macro ROC-AUC and PR-AUC with bootstrap intervals, ROC-AUC
/// of each mood, and whether the difference to the first preset is beyond chance. It is printed, and
/// written to comparison.md, .csv, .json and .html after every preset. Without data, the
/// presets are compared on a synthetic corpus.
///
/// Stopped by Ctrl-C, a kill or a power cut, the same command with the same --out goes on where it
/// was. PRESET/seed-N in the folder is a run folder like any other.
#[derive(Args, Debug)]
pub struct Compare {
    /// Built-in presets, preset files (ending in .toml), or the folders of finished runs, which take part as
    /// they are; the first is what the others are compared with.
    #[arg(
        long,
        value_name = "A,B,…",
        value_delimiter = ',',
        default_value = "paper,paper-sigmoid,paper-handcrafted,rnn-handcrafted,cnn"
    )]
    presets: Vec<String>,
    /// Train each preset with so many seeds, 0, 1, … The split is the same for all.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    #[command(flatten)]
    sets: Sets,
    #[command(flatten)]
    source: Source,
    /// The folder of the comparison; runs/compare-TIME by default.
    #[arg(long, short, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

/// Runs of the same name are called by their parent folder too.
fn tell_apart(candidates: &mut [Candidate]) {
    for at in 1..candidates.len() {
        let (before, rest) = candidates.split_at_mut(at);
        let candidate = &mut rest[0];
        if before.iter().any(|other| other.name == candidate.name)
            && let Some(parent) = candidate.run.as_deref().and_then(Path::parent)
            && let Some(folder) = parent.file_name()
        {
            candidate.name = format!("{}-{}", folder.to_string_lossy(), candidate.name);
        }
    }
}

/// Refuses runs with other moods than those that the presets are to learn.
fn check_moods(
    path: &Path,
    data: &Data,
    candidates: &[Candidate],
    default: &[String],
) -> Result<()> {
    let Some(run) = candidates.iter().find(|candidate| candidate.run.is_some()) else {
        return Ok(());
    };
    let choice = match &data.moods {
        Some(moods) => MoodChoice::parse(moods)?,
        None => MoodChoice::Preset(default.to_vec()),
    };
    let labels = choice.labels(&manifest::read(path, data.audio_root.as_deref())?.tracks)?;
    match labels == run.preset.moods {
        true => Ok(()),
        false => Err(Error::input(format!(
            "{} knows {}, and the presets would learn {}: name its moods with --moods",
            run.name,
            run.preset.moods.join(", "),
            labels.join(", ")
        ))),
    }
}

/// A run's folder as one that takes part; none where it is something else.
fn finished_run(path: &Path) -> Result<Option<Candidate>> {
    if !RunFolder::at(path).is_begun() {
        return Ok(None);
    }
    let folder = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
    if finished(&folder, Changes::default())?.is_none() {
        return Err(Error::input(format!(
            "{0} is not finished; go on with it first: moodshader train --resume {0}",
            path.display()
        )));
    }
    let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
    let preset = Config::read(&RunFolder::at(&folder).config())?.preset;
    Ok(Some(Candidate { name, preset, run: Some(folder) }))
}

impl Compare {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let comparison = self.comparison()?;
        let out = self.out.clone().unwrap_or_else(|| default_out("compare"));
        let stop = stop_on_interrupt(&progress, "as soon as the state is saved")?;
        let device = match comparison.trainings() {
            // There is nothing to compute.
            0 => Device::Cpu,
            _ => open_device(&self.common.device, &progress)?,
        };
        let place = Place {
            device: &device,
            asked: &self.common.device,
            until: Until { stop: &stop, max_steps: None },
            progress: &progress,
        };
        let table = comparison.run(&out, place)?;
        output::line(table.text());
        output::line(out.display());
        Ok(())
    }

    /// The presets, resolved.
    fn comparison(&self) -> Result<Comparison> {
        let candidates = self.presets.iter().map(|name| {
            let name = &name.trim().to_owned();
            if let Some(run) = finished_run(Path::new(name))? {
                return Ok(run);
            }
            let (name, mut preset) = match Path::new(name) {
                path if path.extension().is_some_and(|extension| extension == "toml") => {
                    let stem = path.file_stem().unwrap_or(path.as_os_str());
                    (stem.to_string_lossy().into_owned(), Preset::from_file(path)?)
                }
                _ => (name.clone(), Preset::named(name)?),
            };
            apply(&self.sets.all(), &mut preset).map_err(|error| error.context(&name))?;
            Ok(Candidate { name, preset, run: None })
        });
        let mut candidates: Vec<Candidate> = candidates.collect::<Result<_>>()?;
        tell_apart(&mut candidates);
        // Each preset takes the centre of the same recordings.
        let lengths = candidates.iter().map(|candidate| candidate.preset.audio.clip_seconds);
        let longest = lengths.fold(0.0, f64::max);
        let run = candidates.iter().find_map(|candidate| candidate.run.as_deref());
        let run = run.map(|run| Config::read(&RunFolder::at(run).config())).transpose()?;
        if let Some(run) = &run
            && candidates.iter().all(|candidate| candidate.run.is_some())
        {
            let asked = self.source.is_given() || self.source.names_moods();
            if asked || !self.sets.all().is_empty() || self.seeds > 1 {
                return Err(Error::input(
                    "finished runs are compared by what they were judged on: leave out the manifest, \
                     --moods, --set, --seeds and their short forms; moodshader evaluate RUN MANIFEST judges \
                     a run on other tracks",
                ));
            }
            return Ok(Comparison { seeds: 1, data: run.data.clone(), candidates });
        }
        // The split of a run that takes part is that of all.
        let split_seed = run.map_or(0, |run| run.data.split_seed.unwrap_or(run.seed));
        let mut data = Data {
            synthetic_seconds: (!self.source.is_given()).then_some(longest),
            split_seed: Some(split_seed),
            ..self.source.data(longest)?
        };
        // The clips are the same for all.
        let sigmoid = |candidate: &Candidate| candidate.preset.model.output == Output::Sigmoid;
        let moods = &Preset::named("paper")?.moods;
        if let Some(path) = &data.data
            && manifest::is_own(path)?
        {
            data.negatives = candidates.iter().all(sigmoid);
            let mut trained = candidates.iter().filter(|candidate| candidate.run.is_none());
            if data.moods.is_none() && trained.all(|candidate| candidate.preset.moods == *moods) {
                data.moods = Some("all".to_owned());
            }
        }
        if let Some(path) = &data.data {
            check_moods(path, &data, &candidates, moods)?;
        }
        Ok(Comparison { seeds: self.seeds, data, candidates })
    }
}
