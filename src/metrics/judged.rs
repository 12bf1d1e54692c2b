//! Scores beside the truth, clip by clip.

use super::predictions::means;
use super::{
    Bootstrap, Differences, Interval, Resampling, Scores, Table, bootstrap, paired_bootstrap,
    precisions, thresholds,
};
use crate::{Error, Result};

/// Half of an interval that is wide.
const WIDE: f64 = 0.1;
/// Clips that are few.
const FEW: usize = 30;

/// What a model reached on a split, and how far that can be trusted.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Both metrics.
    pub scores: Scores,
    /// Their 95 % intervals.
    pub intervals: Bootstrap,
}

impl Measured {
    /// Compares `scores` with `targets`, both [clips, moods].
    ///
    /// # Errors
    /// As [`Scores::new`].
    pub fn new(targets: &[bool], scores: &[f32], moods: usize) -> Result<Self> {
        let table = Table::new(targets, scores, moods)?;
        let intervals = bootstrap(table, Resampling::default())?;
        Ok(Self { scores: Scores::new(targets, scores, moods)?, intervals })
    }

    /// A warning where the score means little: it may well be another, or so few clips were judged that even
    /// a perfect one may be chance.
    pub fn means_little(&self) -> Option<String> {
        let Self { scores, intervals } = self;
        let half =
            intervals.roc_auc.macro_mean.map_or(0.0, |Interval(low, high)| (high - low) / 2.0);
        let range = if half >= 0.005 { format!(" (ROC-AUC ± {half:.2})") } else { String::new() };
        (half > WIDE || scores.clips < FEW).then(|| {
            format!("warning: {} validation clips: the scores mean little{range}", scores.clips)
        })
    }
}

/// Scores on a split's clips, with what is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// In the order of the model's outputs.
    pub moods: Vec<String>,
    /// The clips' paths as the manifest has them.
    pub names: Vec<String>,
    /// [clips, moods]
    pub targets: Vec<bool>,
    /// [clips, moods]
    pub scores: Vec<f32>,
}

impl Judged {
    /// What several models say of the same clips, averaged.
    ///
    /// # Errors
    /// They were not judged on the same clips and moods.
    pub fn mean<'a>(several: impl IntoIterator<Item = &'a Self>) -> Result<Self> {
        let several = Vec::from_iter(several);
        let Some(&first) = several.first() else {
            return Err(Error::input("no model was judged"));
        };
        let clips = |judged: &'a Self| (&judged.moods, &judged.names, &judged.targets);
        if several.iter().any(|judged| clips(judged) != clips(first)) {
            return Err(Error::input("the models were not judged on the same clips"));
        }
        let scores = means(several.iter().map(|judged| &*judged.scores));
        Ok(Self { scores, ..first.clone() })
    }

    /// How many there are.
    pub fn clips(&self) -> usize {
        self.names.len()
    }

    /// How well the scores rank the clips.
    ///
    /// # Errors
    /// A score that is not a number.
    pub fn metrics(&self) -> Result<Scores> {
        Scores::new(&self.targets, &self.scores, self.moods.len())
    }

    /// How much better these scores are than `other`, of the same clips.
    ///
    /// # Errors
    /// The clips have other moods there; a score that is not a number.
    pub fn better_than(&self, other: &Self) -> Result<Differences> {
        paired_bootstrap(other.table()?, self.table()?, Resampling::default())
    }

    /// How well they do, and how far that can be trusted.
    ///
    /// # Errors
    /// As [`Self::metrics`].
    pub fn measured(&self) -> Result<Measured> {
        Measured::new(&self.targets, &self.scores, self.moods.len())
    }

    /// For each mood the threshold with the greatest F1.
    ///
    /// # Errors
    /// A score that is not a number.
    pub fn thresholds(&self) -> Result<Vec<Option<f64>>> {
        thresholds(self.table()?)
    }

    /// For each mood how precise a decision is from which score on: [`precision_steps`](super::precision_steps).
    ///
    /// # Errors
    /// A score that is not a number.
    pub fn precisions(&self) -> Result<Vec<Vec<(f64, f64)>>> {
        precisions(self.table()?)
    }

    fn table(&self) -> Result<Table<'_>> {
        Table::new(&self.targets, &self.scores, self.moods.len())
    }

    /// Whether a clip has a mood.
    pub fn has(&self, clip: usize, mood: usize) -> bool {
        self.targets[clip * self.moods.len() + mood]
    }

    /// A clip's score of a mood.
    pub fn score(&self, clip: usize, mood: usize) -> f32 {
        self.scores[clip * self.moods.len() + mood]
    }

    /// Targets and scores of one mood.
    pub fn column(&self, mood: usize) -> (Vec<bool>, Vec<f32>) {
        (0..self.clips()).map(|clip| (self.has(clip, mood), self.score(clip, mood))).unzip()
    }

    /// A clip's moods, the highest score first.
    pub fn ranked(&self, clip: usize) -> Vec<usize> {
        let mut moods: Vec<usize> = (0..self.moods.len()).collect();
        moods.sort_by(|&a, &b| self.score(clip, b).total_cmp(&self.score(clip, a)));
        moods
    }

    /// Each clip's mood with the highest score, the first on ties.
    pub fn top_moods(&self) -> Vec<usize> {
        (0..self.clips()).map(|clip| self.ranked(clip)[0]).collect()
    }
}
