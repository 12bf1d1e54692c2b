//! Judging a model on labelled music.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::Result;
use crate::dataset::batches::{Batches, all_windows, window_count};
use crate::dataset::cache::FeatureCache;
use crate::dataset::features::FeatureRecipe;
use crate::dataset::labels::Labelled;
use crate::dataset::manifest::Track;
use crate::dataset::prepare::{Broken, Prepared, prepare};
use crate::exec::Device;
use crate::metrics::{
    Bootstrap, PerMood, Predictions, Resampling, Scores, Table, bootstrap,
    expected_calibration_error, f1, top1_hit_rate,
};
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::{Purpose, Session};
use crate::predict::tagger::together;
use crate::report::Progress;

/// Clips that are predicted at a time; as many as the largest batch of [`super::Tagger`].
const BATCH: usize = 16;

/// How good a model is on some clips.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Names of the model's outputs, in their order.
    pub moods: Vec<String>,
    /// ROC-AUC and average precision.
    pub scores: Scores,
    /// Their 95 % intervals.
    pub intervals: Bootstrap,
    /// How the intervals were drawn.
    pub resampling: Resampling,
    /// Mean over the clips.
    pub loss: f64,
    /// The checkpoint's, chosen on its validation clips.
    pub thresholds: Option<Vec<Option<f64>>>,
    /// At the thresholds; `None` for a mood without a threshold or without a positive.
    pub f1: PerMood,
    /// The share of clips whose most probable mood is one that they have.
    pub top1_hit_rate: Option<f64>,
    /// [`expected_calibration_error`] of each mood.
    pub calibration_error: Vec<Option<f64>>,
    /// The same over all pairs of clip and mood.
    pub overall_calibration_error: Option<f64>,
}

/// A labelled manifest as a model sees it.
#[derive(Debug)]
pub struct Evaluated {
    /// How good the model is.
    pub evaluation: Evaluation,
    /// What was predicted, in the manifest's order.
    pub clips: Arc<Vec<Prepared>>,
    /// Probabilities, losses and targets of [`Self::clips`].
    pub predictions: Predictions,
    /// Files that could not be used.
    pub broken: Vec<Broken>,
}

/// Predicts the centre clips, or the windows that the preset asks for, of those `tracks` of the manifest at
/// `data` that have one of the checkpoints' moods (of all, where each mood has a probability of its
/// own), and compares. Of several models that know the same moods and hear the same features,
/// probabilities, losses and thresholds are averaged.
///
/// # Errors
/// The models differ in more than weights; no track has one of the moods, or none can be heard; the device fails.
pub fn evaluate(
    checkpoints: &[Checkpoint],
    data: &Path,
    tracks: Vec<Track>,
    device: &Device,
    progress: &Progress,
) -> Result<Evaluated> {
    let description = together(checkpoints)?;
    let preset = &description.preset;
    let labelled = Labelled::new(tracks, &description.labels, preset.model.output.into()).map_err(|error| {
        let next = "a model is judged on the moods that it was trained on; name a manifest that \
                    has them";
        error.context(data.display()).followed_by(next)
    })?;
    labelled.notes.iter().for_each(|note| progress.note(note));
    if labelled.negatives > 0 {
        progress.note(&format!("{} tracks have none of the moods", labelled.negatives));
    }
    if let Some(warning) = &labelled.warning {
        progress.note(&format!("warning: {warning}"));
    }
    if labelled.left_out > 0 {
        progress.note(&format!(
            "{} tracks without any of the {} moods are left out",
            labelled.left_out,
            description.labels.len()
        ));
    }
    let recipe = FeatureRecipe::of(preset);
    recipe.check_fits(device)?;
    Session::check_fits(device, preset, Purpose::Evaluation, 1)?;
    let cache = Arc::new(FeatureCache::open(None)?);
    let count = labelled.tracks.len();
    let bar = progress.bar("features", count);
    let never = AtomicBool::new(false);
    let corpus =
        prepare(labelled.tracks, device, &recipe, None, &cache, &never, &|done| bar.at(done))?;
    drop(bar);
    for note in corpus.notes(preset.audio.clip_seconds) {
        progress.note(&note);
    }
    if let Some(warning) = cache.unwritten() {
        progress.note(&warning);
    }
    if let ([], Some(first)) = (&*corpus.clips, corpus.broken.first()) {
        return Err(first.instead_of_all(&format!("{count} tracks")));
    }
    let clips = Arc::new(corpus.clips);

    let windows = window_count(&clips);
    let batch = BATCH.min(windows);
    let bar = progress.bar("predicting", checkpoints.len() * windows);
    let load = |checkpoint: &Checkpoint, batch: usize| {
        let mut sizes = vec![batch, windows % batch];
        sizes.retain(|&size| size > 0);
        Session::open(device, checkpoint, Purpose::Evaluation, &sizes)
    };
    let judge = |(before, checkpoint): (usize, &Checkpoint)| {
        let (mut session, batch) = match load(checkpoint, batch) {
            // The device cannot do so much at a time.
            Err(error) if error.kind.asks_for_less() && batch > 1 => (load(checkpoint, 1)?, 1),
            session => (session?, batch),
        };
        let order = all_windows(&clips, 0..clips.len(), batch);
        let batches = Batches::new(Arc::clone(&cache), Arc::clone(&clips), order);
        batches.judge(&mut session, &|done| bar.at(before * windows + done))
    };
    let judged: Vec<Predictions> =
        checkpoints.iter().enumerate().map(judge).collect::<Result<_>>()?;
    let predictions = Predictions::mean(&judged);
    drop(bar);
    let evaluation = Evaluation::new(&description, &predictions, Resampling::default())?;
    Ok(Evaluated { evaluation, clips, predictions, broken: corpus.broken })
}

impl Evaluation {
    /// Compares `predictions` with their targets.
    ///
    /// # Errors
    /// A probability that is not a number.
    pub fn new(
        description: &Description,
        predictions: &Predictions,
        resampling: Resampling,
    ) -> Result<Self> {
        let moods = description.labels.clone();
        let table = Table::new(&predictions.targets, &predictions.probabilities, moods.len())?;
        let thresholds = description.thresholds.clone();
        let of_mood = |mood: usize| {
            let (targets, scores) = table.mood(mood);
            let threshold = thresholds.as_ref().and_then(|thresholds| thresholds[mood]);
            (
                threshold.and_then(|threshold| f1(&targets, &scores, threshold)),
                expected_calibration_error(&targets, &scores),
            )
        };
        let (f1, calibration_error) = (0..moods.len()).map(of_mood).unzip();
        Ok(Self {
            scores: predictions.scores(moods.len())?,
            intervals: bootstrap(table, resampling)?,
            resampling,
            loss: predictions.mean_loss()?,
            f1: PerMood::new(f1),
            top1_hit_rate: top1_hit_rate(table),
            calibration_error,
            overall_calibration_error: expected_calibration_error(
                &predictions.targets,
                &predictions.probabilities,
            ),
            thresholds,
            moods,
        })
    }
}

/// A value for each label, by name.
struct ByMood<'a, T>(&'a [String], &'a [T]);

impl<T: Serialize> Serialize for ByMood<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().zip(self.1))
    }
}

/// As `moodshader evaluate --format json` prints it.
impl Serialize for Evaluation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let moods = &self.moods;
        let thresholds = self.thresholds.as_ref().map(|values| ByMood(moods, values));
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("roc_auc", &self.scores.roc_auc.labelled(moods))?;
        map.serialize_entry("pr_auc", &self.scores.pr_auc.labelled(moods))?;
        map.serialize_entry("loss", &self.loss)?;
        map.serialize_entry("clips", &self.scores.clips)?;
        map.serialize_entry("positives", &ByMood(moods, &self.scores.positives))?;
        map.serialize_entry("roc_auc_interval", &self.intervals.roc_auc.labelled(moods))?;
        map.serialize_entry("pr_auc_interval", &self.intervals.pr_auc.labelled(moods))?;
        map.serialize_entry("bootstrap", &self.resampling)?;
        map.serialize_entry("f1", &self.f1.labelled(moods))?;
        map.serialize_entry("thresholds", &thresholds)?;
        map.serialize_entry("top1_hit_rate", &self.top1_hit_rate)?;
        map.serialize_entry("calibration_error", &self.overall_calibration_error)?;
        let by_mood = ByMood(moods, &self.calibration_error);
        map.serialize_entry("calibration_error_by_mood", &by_mood)?;
        map.end()
    }
}
