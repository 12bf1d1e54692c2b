//! Both metrics for every mood of a split, and their macro means.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Interval, Intervals, Table, average_precision, roc_auc};
use crate::error::Result;

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
        let table = Table::new(targets, scores, moods)?;
        let mut positives = Vec::with_capacity(moods);
        let mut roc_aucs = Vec::with_capacity(moods);
        let mut pr_aucs = Vec::with_capacity(moods);
        for mood in 0..moods {
            let (targets, scores) = table.mood(mood);
            positives.push(targets.iter().filter(|positive| **positive).count());
            roc_aucs.push(roc_auc(&targets, &scores)?);
            pr_aucs.push(average_precision(&targets, &scores)?);
        }
        Ok(Self {
            clips: table.clips(),
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
    pub fn labelled<'a>(&'a self, labels: &'a [String]) -> Labelled<'a, f64> {
        Labelled { macro_mean: &self.macro_mean, moods: &self.moods, labels }
    }
}

impl Intervals {
    /// With the moods' names, as JSON shows it.
    pub fn labelled<'a>(&'a self, labels: &'a [String]) -> Labelled<'a, Interval> {
        Labelled { macro_mean: &self.macro_mean, moods: &self.moods, labels }
    }
}

/// Serialises as `{"macro": 0.7, "happy": 0.8, "film": null, …}`, in the order of the labels.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a, T> {
    macro_mean: &'a Option<T>,
    moods: &'a [Option<T>],
    labels: &'a [String],
}

impl<T: Serialize> Serialize for Labelled<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.labels.len()))?;
        map.serialize_entry("macro", self.macro_mean)?;
        for (label, value) in self.labels.iter().zip(self.moods) {
            map.serialize_entry(label, value)?;
        }
        map.end()
    }
}
