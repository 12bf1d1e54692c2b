//! What a preset reached, over its seeds.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;

use super::Candidate;
use super::folder::{Folder, key};
use crate::metrics::{Bootstrap, Differences, Judged, Measured, Scores};
use crate::model::parameters::parameter_shapes;
use crate::model::preset::{ClassWeights, Output, Preset};
use crate::run::{EpochMetrics, RunFolder, best, read_predictions};
use crate::{Error, Result};

/// A number over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistic {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (÷ (n − 1)); none of one seed.
    pub deviation: Option<f64>,
}

/// A preset's row of the table.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The preset's.
    pub name: String,
    /// Trained numbers.
    pub parameters: usize,
    /// Pace of training over all seeds, where it was measured.
    pub clips_per_second: Option<f64>,
    /// The adapters that trained.
    pub devices: BTreeSet<String>,
    /// Trained for, by the seed that was trained longest.
    pub epochs: u64,
    /// The epoch of each seed's best model.
    pub best_epochs: Vec<u64>,
    /// At the best epoch, with dropout, as training saw it.
    pub train_loss: Statistic,
    /// At the best epoch.
    pub validation_loss: Statistic,
    /// Validation loss minus training loss.
    pub gap: Statistic,
    /// Macro mean of ROC-AUC.
    pub roc_auc: Option<Statistic>,
    /// Macro mean of average precision.
    pub pr_auc: Option<Statistic>,
    /// In the order of the moods.
    pub mood_roc_auc: Vec<Option<Statistic>>,
    /// The best models' scores on the validation clips, averaged over the seeds.
    pub averaged: Judged,
    /// What the averaged scores reach; with one seed, what the model does.
    pub scores: Scores,
    /// 95 % intervals of `scores`.
    pub intervals: Bootstrap,
    /// `scores` minus those of the first preset.
    pub difference: Option<Differences>,
    /// What its probabilities are.
    pub output: Output,
    /// Whether its training loss is of other weights or targets than the validation loss.
    pub changes_loss: bool,
    /// Says which clips it was trained and judged on.
    split: String,
    /// Whether it is a run that was not trained for the comparison.
    pub elsewhere: bool,
    /// Epoch and macro ROC-AUC on the validation clips, of the first seed.
    pub curve: Vec<[f64; 2]>,
}

/// The best model of one run.
struct Run {
    line: EpochMetrics,
    judged: Judged,
    scores: Scores,
    epochs: u64,
    curve: Vec<[f64; 2]>,
}

impl Statistic {
    /// `None` of no values.
    fn of(values: &[f64]) -> Option<Self> {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation })
    }
}

impl Judgement {
    /// Reads the finished runs of a preset. `first` is the preset that it is compared with.
    ///
    /// # Errors
    /// A file is missing or damaged; runs were judged on different clips.
    pub fn read(
        candidate: &Candidate,
        seeds: u64,
        folder: &Folder,
        first: Option<&Self>,
    ) -> Result<Self> {
        let name = &candidate.name;
        let (runs, split) = read_runs(candidate, seeds, folder, first)?;
        let averaged = Judged::mean(runs.iter().map(|run| &run.judged))
            .map_err(|error| error.context(name))?;
        let Measured { scores, intervals } = averaged.measured()?;
        let difference = first.map(|first| averaged.better_than(&first.averaged)).transpose()?;

        let over = |value: &dyn Fn(&Run) -> Option<f64>| -> Option<Statistic> {
            Statistic::of(&runs.iter().filter_map(value).collect::<Vec<f64>>())
        };
        let loss = |value: &dyn Fn(&EpochMetrics) -> f64| {
            over(&|run| Some(value(&run.line)))
                .ok_or_else(|| Error::failure(format!("{name} has no epoch")))
        };
        let of_mood = |mood: usize| over(&|run| run.scores.roc_auc.moods[mood]);

        let measured = folder.throughput()?;
        let keys: Vec<String> = (0..seeds).map(|seed| key(name, seed)).collect();
        let measured: Vec<_> = keys.iter().filter_map(|key| measured.get(key)).collect();
        let clips: usize = measured.iter().map(|run| run.clips).sum();
        let seconds: f64 = measured.iter().map(|run| run.seconds).sum();
        let preset = &candidate.preset;
        // The moods that --moods settled may be more or fewer than the preset's own.
        let resolved = Preset { moods: averaged.moods.clone(), ..candidate.preset.clone() };
        let shapes = parameter_shapes(&resolved);
        Ok(Self {
            name: name.clone(),
            parameters: shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum(),
            clips_per_second: (seconds > 0.0).then(|| clips as f64 / seconds),
            devices: measured.iter().flat_map(|run| run.devices.iter().cloned()).collect(),
            epochs: runs.iter().map(|run| run.epochs).max().unwrap_or(0),
            best_epochs: runs.iter().map(|run| run.line.epoch).collect(),
            train_loss: loss(&|line| line.train_loss)?,
            validation_loss: loss(&|line| line.validation_loss)?,
            gap: loss(&|line| line.validation_loss - line.train_loss)?,
            roc_auc: over(&|run| run.scores.roc_auc.macro_mean),
            pr_auc: over(&|run| run.scores.pr_auc.macro_mean),
            mood_roc_auc: (0..averaged.moods.len()).map(of_mood).collect(),
            scores,
            intervals,
            difference,
            output: preset.model.output,
            changes_loss: preset.train.class_weights == ClassWeights::Balanced
                || preset.train.label_smoothing > 0.0
                || preset.train.mixup > 0.0,
            split,
            elsewhere: candidate.run.is_some(),
            curve: runs.first().map_or(Vec::new(), |run| run.curve.clone()),
            averaged,
        })
    }

    /// Whether the macro ROC-AUC differs from the first preset's by more than the draw of the clips
    /// explains: its 95 % interval does not hold 0. `None` for the first preset itself, and where no
    /// mood can be ranked.
    pub fn beyond_chance(&self) -> Option<bool> {
        let interval = self.difference.as_ref()?.roc_auc.intervals.macro_mean?;
        Some(interval.0 > 0.0 || interval.1 < 0.0)
    }

    /// The mean loss, over the validation clips, that no softmax can get below, since its outputs add
    /// up to 1: with k of a clip's M moods true, the least is at 1 / k each: k · ln k / M.
    pub fn softmax_floor(&self) -> f64 {
        let moods = self.averaged.moods.len();
        let floor = |targets: &[bool]| {
            let count = targets.iter().filter(|target| **target).count().max(1) as f64;
            count * count.ln() / moods as f64
        };
        let clips = self.averaged.targets.chunks(moods);
        clips.map(floor).sum::<f64>() / self.averaged.clips() as f64
    }
}

/// The runs of a preset, which must be on the same clips as each other and as `first`, and what says
/// which clips these are.
fn read_runs(
    candidate: &Candidate,
    seeds: u64,
    folder: &Folder,
    first: Option<&Judgement>,
) -> Result<(Vec<Run>, String)> {
    let mut runs: Vec<Run> = Vec::new();
    let mut split: Option<String> = first.map(|first| first.split.clone());
    let paths: Vec<PathBuf> = match &candidate.run {
        Some(run) => vec![run.clone()],
        None => (0..seeds).map(|seed| folder.run(&candidate.name, seed)).collect(),
    };
    for path in paths {
        let run = Run::read(&path).map_err(|error| error.context(path.display()))?;
        let trained_on = RunFolder::open(&path)?.description()?.split;
        let other = runs.first().map(|run| &run.judged).or(first.map(|first| &first.averaged));
        let same = other.is_none_or(|other| {
            (&other.names, &other.targets, &other.moods)
                == (&run.judged.names, &run.judged.targets, &run.judged.moods)
        });
        // A run that was trained elsewhere may have learnt from other tracks.
        let elsewhere = candidate.run.is_some() || first.is_some_and(|first| first.elsewhere);
        if !same || (!elsewhere && split.as_ref().is_some_and(|split| *split != trained_on)) {
            return Err(Error::input(format!(
                "{} was trained or judged on other clips than the runs before it, so it cannot \
                 be compared with them: the manifests have changed, or audio files are broken (restore \
                 them and begin again with another --out), or the runs have other validation tracks",
                path.display()
            )));
        }
        split = Some(trained_on);
        runs.push(run);
    }
    Ok((runs, split.unwrap_or_default()))
}

impl Run {
    fn read(path: &std::path::Path) -> Result<Self> {
        let folder = RunFolder::open(path)?;
        let metrics = folder.read_metrics()?;
        // Where no mood can be ranked, the first epoch's model is kept.
        let line = best(&metrics).or(metrics.first()).cloned();
        let line = line.ok_or_else(|| Error::input("metrics.jsonl has no line; restore it"))?;
        let judged = read_predictions(&folder.predictions())?;
        let scores = judged.metrics()?;
        let point = |line: &EpochMetrics| Some([line.epoch as f64, line.macro_roc_auc()?]);
        let curve = metrics.iter().filter_map(point).collect();
        Ok(Self { line, judged, scores, epochs: metrics.len() as u64, curve })
    }
}
