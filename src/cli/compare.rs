//! `moodshader compare`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::source::{Sets, Source, apply, default_out};
use super::{Common, open_device, stop_on_interrupt};
use crate::Result;
use crate::compare::{Candidate, Comparison, Place};
use crate::dataset::manifest;
use crate::model::preset::{Output, Preset};
use crate::output;
use crate::run::Data;
use crate::train::Until;

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
    /// Built-in presets or preset files (ending in .toml); the first is what the others are compared
    /// with.
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

impl Compare {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let comparison = self.comparison()?;
        let out = self.out.clone().unwrap_or_else(|| default_out("compare"));
        let stop = stop_on_interrupt(&progress, "as soon as the state is saved")?;
        let device = open_device(&self.common.device, &progress)?;
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
            let (name, mut preset) = match Path::new(name) {
                path if path.extension().is_some_and(|extension| extension == "toml") => {
                    let stem = path.file_stem().unwrap_or(path.as_os_str());
                    (stem.to_string_lossy().into_owned(), Preset::from_file(path)?)
                }
                _ => (name.clone(), Preset::named(name)?),
            };
            apply(&self.sets.all(), &mut preset).map_err(|error| error.context(&name))?;
            Ok(Candidate { name, preset })
        });
        let candidates: Vec<Candidate> = candidates.collect::<Result<_>>()?;
        // Each preset takes the centre of the same recordings.
        let lengths = candidates.iter().map(|candidate| candidate.preset.audio.clip_seconds);
        let longest = lengths.fold(0.0, f64::max);
        let mut data = Data {
            synthetic_seconds: (!self.source.is_given()).then_some(longest),
            split_seed: Some(0),
            ..self.source.data(longest)?
        };
        // The clips are the same for all.
        let sigmoid = |candidate: &Candidate| candidate.preset.model.output == Output::Sigmoid;
        data.negatives = self.source.is_given() && candidates.iter().all(sigmoid);
        let moods = &Preset::named("paper")?.moods;
        if let Some(path) = &data.data
            && data.moods.is_none()
            && candidates.iter().all(|candidate| candidate.preset.moods == *moods)
            && manifest::is_own(path)?
        {
            data.moods = Some("all".to_owned());
        }
        Ok(Comparison { seeds: self.seeds, data, candidates })
    }
}
