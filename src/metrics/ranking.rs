//! ROC-AUC and average precision of one mood, O(n log n).

use crate::error::{Error, Result};

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
    let ties = ties(targets, scores)?;
    let (positives, negatives) = totals(&ties);
    // Twice the pairs won, so that halves stay whole: the count is exact.
    let mut twice_won: u128 = 0;
    let mut negatives_below = negatives;
    for tie in &ties {
        negatives_below -= tie.negatives;
        twice_won += u128::from(tie.positives) * u128::from(2 * negatives_below + tie.negatives);
    }
    let pairs = u128::from(positives) * u128::from(negatives);
    Ok((pairs > 0).then(|| twice_won as f64 / (2 * pairs) as f64))
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
    let ties = ties(targets, scores)?;
    let (positives, negatives) = totals(&ties);
    let (mut found, mut taken, mut sum) = (0, 0, 0.0);
    for tie in &ties {
        found += tie.positives;
        taken += tie.positives + tie.negatives;
        sum += tie.positives as f64 * (found as f64 / taken as f64);
    }
    Ok((positives > 0 && negatives > 0).then(|| sum / positives as f64))
}

/// Clips grouped by score, the highest first.
pub(super) fn ties(targets: &[bool], scores: &[f32]) -> Result<Vec<Tie>> {
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
    let mut ranked: Vec<(f32, bool)> =
        scores.iter().copied().zip(targets.iter().copied()).collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    // Compared as numbers, so that 0 and −0 tie.
    let tie = |tied: &[(f32, bool)]| {
        let positives = tied.iter().filter(|(_, positive)| *positive).count() as u64;
        Tie { positives, negatives: tied.len() as u64 - positives }
    };
    Ok(ranked.chunk_by(|a, b| a.0 == b.0).map(tie).collect())
}

pub(super) fn totals(ties: &[Tie]) -> (u64, u64) {
    ties.iter().fold((0, 0), |(p, n), tie| (p + tie.positives, n + tie.negatives))
}
