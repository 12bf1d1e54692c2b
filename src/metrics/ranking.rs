//! ROC-AUC and average precision of one mood, O(n log n).

use crate::error::{Error, Result};

/// The clips of one mood, sorted by score: both metrics follow from it, also when clips count
/// several times or not at all, as they do in a bootstrap.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// Index and target of each clip, the highest score first.
    clips: Vec<(u32, bool)>,
    /// Where in `clips` each group of equal scores ends.
    tie_ends: Vec<u32>,
}

/// The clips that share one score.
pub(super) struct Tie {
    pub(super) positives: u64,
    pub(super) negatives: u64,
}

/// Area under the ROC curve: the share of (positive, negative) pairs in which the positive has the
/// higher score, a tie counting one half. scikit-learn's `roc_auc_score`.
///
/// `targets` and `scores` are by clip; `None` without a positive or without a negative.
///
/// # Errors
/// A score that is not a number; lengths that differ.
pub fn roc_auc(targets: &[bool], scores: &[f32]) -> Result<Option<f64>> {
    Ok(Ranking::new(targets, scores)?.roc_auc(&vec![1; targets.len()]))
}

/// Average precision: Σ (Rₙ − Rₙ₋₁) · Pₙ over the distinct scores from the highest down, with recall
/// R and precision P of "at least this score". scikit-learn's `average_precision_score`.
///
/// `targets` and `scores` are by clip; `None` without a positive, and also without a negative,
/// where scikit-learn gives the 1 that any scores would get.
///
/// # Errors
/// A score that is not a number; lengths that differ.
pub fn average_precision(targets: &[bool], scores: &[f32]) -> Result<Option<f64>> {
    Ok(Ranking::new(targets, scores)?.average_precision(&vec![1; targets.len()]))
}

impl Ranking {
    /// Sorts the clips of one mood; `targets` and `scores` are by clip.
    ///
    /// # Errors
    /// A score that is not a number; lengths that differ.
    pub fn new(targets: &[bool], scores: &[f32]) -> Result<Self> {
        if targets.len() != scores.len() {
            return Err(Error::failure(format!(
                "{} targets and {} scores: there must be one of each for every clip",
                targets.len(),
                scores.len()
            )));
        }
        if let Some(clip) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::failure(format!("the score of clip {clip} is not a number")));
        }
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        let score = |clip: &u32| scores[*clip as usize];
        order.sort_by(|a, b| score(b).total_cmp(&score(a)));
        let mut tie_ends = Vec::new();
        // Compared as numbers, so that 0 and −0 tie.
        for tied in order.chunk_by(|a, b| score(a) == score(b)) {
            tie_ends.push(tie_ends.last().unwrap_or(&0) + tied.len() as u32);
        }
        let clips = order.into_iter().map(|clip| (clip, targets[clip as usize])).collect();
        Ok(Self { clips, tie_ends })
    }

    /// [`roc_auc`], each clip counted as often as `counts`, by clip, says.
    pub fn roc_auc(&self, counts: &[u32]) -> Option<f64> {
        let (positives, negatives) = self.totals(counts);
        // Twice the pairs won, so that halves stay whole: the count is exact.
        let mut twice_won: u128 = 0;
        let mut negatives_below = negatives;
        for tie in self.ties(counts) {
            negatives_below -= tie.negatives;
            twice_won +=
                u128::from(tie.positives) * u128::from(2 * negatives_below + tie.negatives);
        }
        let pairs = u128::from(positives) * u128::from(negatives);
        (pairs > 0).then(|| twice_won as f64 / (2 * pairs) as f64)
    }

    /// [`average_precision`], each clip counted as often as `counts`, by clip, says.
    pub fn average_precision(&self, counts: &[u32]) -> Option<f64> {
        let (positives, negatives) = self.totals(counts);
        let (mut found, mut taken, mut sum) = (0, 0, 0.0);
        for tie in self.ties(counts) {
            found += tie.positives;
            taken += tie.positives + tie.negatives;
            if taken > 0 {
                sum += tie.positives as f64 * (found as f64 / taken as f64);
            }
        }
        (positives > 0 && negatives > 0).then(|| sum / positives as f64)
    }

    /// Clips grouped by score, the highest first.
    pub(super) fn ties(&self, counts: &[u32]) -> impl Iterator<Item = Tie> {
        let starts = std::iter::once(&0).chain(&self.tie_ends);
        starts.zip(&self.tie_ends).map(|(&start, &end)| {
            let mut tie = Tie { positives: 0, negatives: 0 };
            for &(clip, positive) in &self.clips[start as usize..end as usize] {
                let count = u64::from(counts[clip as usize]);
                *(if positive { &mut tie.positives } else { &mut tie.negatives }) += count;
            }
            tie
        })
    }

    /// Positives and negatives in all.
    pub(super) fn totals(&self, counts: &[u32]) -> (u64, u64) {
        self.ties(counts).fold((0, 0), |(p, n), tie| (p + tie.positives, n + tie.negatives))
    }
}
