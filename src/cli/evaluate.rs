//! `moodshader evaluate`: how good a model is on labelled music.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Common, Format, check_result, model, open_device, run_again, to_json};
use crate::dataset::manifest::{self, Track};
use crate::metrics::bounded;
use crate::output;
use crate::predict::evaluate::{Evaluation, evaluate};
use crate::run::{Had, write_predictions};
use crate::{Error, Result};

/// Judge a model on a manifest: ROC-AUC, average precision, F1, hit rate and calibration.
///
/// Of a folder that `train --seeds` wrote, the models are judged together: by the means of their
/// probabilities and thresholds, as predict answers; the loss is the mean of theirs.
///
/// Of each track the centre clip is predicted, or as many windows as the model was made for (`audio.windows`: ten of
/// the built-in ones), whose probabilities are averaged. A track with none of the moods counts where each mood has a
/// probability of its own (sigmoid), and is left out elsewhere. Intervals are 95 %
/// percentile intervals of a bootstrap over the clips (1000 resamples, seed 0): how far the number
/// would move if other clips had been drawn. F1 is taken at the thresholds that training chose on
/// its validation clips and keeps in best.safetensors. Hit rate is the share of clips whose most
/// probable mood is one that they have. The calibration error is the average distance, over 15 bins
/// of equal width, between the mean probability and the share of clips that have the mood.
///
/// A mood that every clip has, or none, has no score: `-`, or null in JSON.
#[derive(Args, Debug)]
pub struct Evaluate {
    /// The model, then the manifest, where --model and --data do not name them.
    #[arg(value_name = "MODEL MANIFEST", num_args = 0..=2)]
    places: Vec<PathBuf>,
    /// A run's folder, or one of several runs, a checkpoint such as its best.safetensors, or a built-in model:
    /// musicnn-msd or musicnn-mtt.
    #[arg(long, short, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// A folder per mood, a CSV `path,tags`, or MTG-Jamendo's TSV.
    #[arg(long, value_name = "MANIFEST")]
    data: Option<PathBuf>,
    /// The folder that the manifest's paths are relative to; by default the manifest's own.
    #[arg(long, value_name = "DIR")]
    audio_root: Option<PathBuf>,
    /// A table for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write labels and scores of every clip to this CSV, in the columns of predictions.csv.
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Evaluate {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let (model, data) = self.model_and_data()?;
        let checkpoints = model::open_all(&[model.to_owned()])?;
        model::count(&[model.to_owned()], &progress);
        let tracks =
            manifest::read(data, self.audio_root.as_deref())?.tell(|note| progress.note(note));
        let Had { trained, chosen_by } = model::had_tracks(&[model.to_owned()], &tracks)?;
        if trained > 0 {
            progress.note(&format!(
                "warning: {trained} of the {} tracks trained this model, which scores too high on them; \
                 name tracks that it has not heard",
                tracks.len()
            ));
        }
        if chosen_by > 0 {
            progress.note(&format!(
                "{chosen_by} of the {} tracks are those by which the epoch and the thresholds of this model were \
                 chosen: it scores a little too high on them",
                tracks.len()
            ));
        }
        if let Some(path) = &self.predictions {
            check_predictions(path, &tracks, data, model)?;
        }
        let device = open_device(&self.common.device, &progress)?;
        let evaluated = evaluate(&checkpoints, data, tracks, &device, &progress)
            .map_err(|error| run_again(error, "features that were computed are in the cache"))?;
        let evaluation = &evaluated.evaluation;
        match self.format {
            Format::Text => table(evaluation),
            Format::Json => output::line(to_json(evaluation)?),
        }
        progress.broken(&evaluated.broken);
        if let Some(path) = &self.predictions {
            let scores = &evaluated.predictions.probabilities;
            write_predictions(path, &evaluation.moods, &evaluated.clips, scores)?;
        }
        Ok(())
    }

    fn model_and_data(&self) -> Result<(&Path, &Path)> {
        let given = (self.model.as_deref(), self.data.as_deref());
        match (given, self.places.as_slice()) {
            ((Some(model), Some(data)), []) => Ok((model, data)),
            ((None, Some(data)), [model]) => Ok((model, data)),
            ((Some(model), None), [data]) => Ok((model, data)),
            ((None, None), [model, data]) => Ok((model, data)),
            _ => Err(Error::input(
                "evaluate takes one model and one manifest: moodshader evaluate MODEL MANIFEST",
            )),
        }
    }
}

/// What would go wrong after all clips are predicted is found before.
fn check_predictions(path: &Path, tracks: &[Track], manifest: &Path, model: &Path) -> Result<()> {
    let others = [model::files([&model.to_owned()]), vec![manifest.to_owned()]].concat();
    let inputs = tracks.iter().map(|track| &track.path).chain(&others);
    check_result(path, inputs).map_err(|error| error.context("--predictions"))?;
    if std::fs::read(path).is_ok_and(|bytes| !bytes.starts_with(b"id,path,")) {
        return Err(Error::input(format!(
            "--predictions: {} is there and holds something else; name another file",
            path.display()
        )));
    }
    Ok(())
}

/// A line a mood, and below it what holds for all.
fn table(evaluation: &Evaluation) {
    let Evaluation { moods, scores, intervals, .. } = evaluation;
    let width = moods.iter().map(|mood| mood.chars().count()).chain([5]).max().unwrap_or(0);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let line = |cells: [&str; 6]| {
        let [name, share, roc_auc, pr_auc, f1, threshold] = cells;
        let line = format!(
            "{name:<width$}  {share:>6}  {roc_auc:<21}  {pr_auc:<21}  {f1:>6}  {threshold:>9}"
        );
        output::line(line.trim_end());
    };
    line(["mood", "clips", "ROC-AUC [95 %]", "PR-AUC [95 %]", "F1", "threshold"]);
    for (at, mood) in moods.iter().enumerate() {
        let share = 100.0 * scores.positives[at] as f64 / scores.clips as f64;
        let threshold = evaluation.thresholds.as_ref().and_then(|thresholds| thresholds[at]);
        line([
            mood,
            &format!("{share:.1}%"),
            &bounded(scores.roc_auc.moods[at], intervals.roc_auc.moods[at]),
            &bounded(scores.pr_auc.moods[at], intervals.pr_auc.moods[at]),
            &number(evaluation.f1.moods[at]),
            &number(threshold),
        ]);
    }
    line([
        "macro",
        "",
        &bounded(scores.roc_auc.macro_mean, intervals.roc_auc.macro_mean),
        &bounded(scores.pr_auc.macro_mean, intervals.pr_auc.macro_mean),
        &number(evaluation.f1.macro_mean),
        "",
    ]);
    output::line(format_args!(
        "{} clips  loss {:.4}  hit rate of the first mood {}  calibration error {}",
        scores.clips,
        evaluation.loss,
        number(evaluation.top1_hit_rate),
        number(evaluation.overall_calibration_error)
    ));
    if evaluation.thresholds.is_none() {
        output::line(
            "the checkpoint has no thresholds, so there is no F1: best.safetensors of a run has \
             them, last.safetensors has not",
        );
    }
}
