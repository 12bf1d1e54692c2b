//! Both metrics for every mood of a split, and their macro means.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{average_precision, roc_auc};
use crate::error::{Error, Result};

/// What a model reached on a split.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Clips in the split.
    pub clips: usize,
    /// Clips that have the mood, by mood.
    pub positives: Vec<usize>,
    /// Area under the ROC curve.
    pub roc_auc: PerMood,
    /// Average precision, the area under the precision–recall curve.
    pub pr_auc: PerMood,
}

/// One metric.
#[derive(Clone, Debug, PartialEq)]
pub struct PerMood {
    /// In the order of the labels; `None` where undefined.
    pub moods: Vec<Option<f64>>,
    /// Mean over the moods where it is defined; `None` if there are none.
    pub macro_mean: Option<f64>,
}

impl Scores {
    /// Compares `scores` with `targets`, both [clips, moods] row-major.
    ///
    /// # Errors
    /// A score that is not a number; lengths that differ or are no multiple of `moods`.
    pub fn new(targets: &[bool], scores: &[f32], moods: usize) -> Result<Self> {
        if moods == 0 || targets.len() != scores.len() || !targets.len().is_multiple_of(moods) {
            return Err(Error::failure(format!(
                "{} targets and {} scores are not clips × {moods} moods",
                targets.len(),
                scores.len()
            )));
        }
        let mut positives = Vec::with_capacity(moods);
        let mut roc_aucs = Vec::with_capacity(moods);
        let mut pr_aucs = Vec::with_capacity(moods);
        for mood in 0..moods {
            let targets: Vec<bool> = targets.iter().copied().skip(mood).step_by(moods).collect();
            let scores: Vec<f32> = scores.iter().copied().skip(mood).step_by(moods).collect();
            let in_mood = |error: Error| error.context(format_args!("mood {mood}"));
            positives.push(targets.iter().filter(|positive| **positive).count());
            roc_aucs.push(roc_auc(&targets, &scores).map_err(in_mood)?);
            pr_aucs.push(average_precision(&targets, &scores).map_err(in_mood)?);
        }
        Ok(Self {
            clips: targets.len() / moods,
            positives,
            roc_auc: PerMood::new(roc_aucs),
            pr_auc: PerMood::new(pr_aucs),
        })
    }
}

impl PerMood {
    /// Adds the mean to the moods' values.
    pub fn new(moods: Vec<Option<f64>>) -> Self {
        let defined: Vec<f64> = moods.iter().copied().flatten().collect();
        let macro_mean =
            (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64);
        Self { moods, macro_mean }
    }

    /// With the moods' names, as JSON shows it.
    pub fn labelled<'a>(&'a self, labels: &'a [String]) -> Labelled<'a> {
        Labelled { values: self, labels }
    }
}

/// Serialises as `{"macro": 0.7, "happy": 0.8, "film": null, …}`, in the order of the labels.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    values: &'a PerMood,
    labels: &'a [String],
}

impl Serialize for Labelled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.labels.len()))?;
        map.serialize_entry("macro", &self.values.macro_mean)?;
        for (label, value) in self.labels.iter().zip(&self.values.moods) {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}
