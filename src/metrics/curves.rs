//! The curves under which ROC-AUC and average precision are areas.

use super::Ranking;
use crate::error::Result;

/// Both curves of one mood; scikit-learn's `roc_curve` and `precision_recall_curve`, without points
/// that lie on a straight line between others.
#[derive(Clone, Debug, PartialEq)]
pub struct Curves {
    /// Shares of the negatives and of the positives that score at least as high, from (0, 0) to
    /// (1, 1).
    pub roc: Vec<[f64; 2]>,
    /// Recall and precision at every distinct score from the highest down. Average precision takes
    /// each precision for all recalls since the one before.
    pub precision_recall: Vec<[f64; 2]>,
}

/// The curves of one mood, `targets` and `scores` by clip; `None` without a positive or without a
/// negative.
///
/// # Errors
/// A score that is not a number; lengths that differ.
pub fn curves(targets: &[bool], scores: &[f32]) -> Result<Option<Curves>> {
    let ranking = Ranking::new(targets, scores)?;
    let once = vec![1; targets.len()];
    let (positives, negatives) = ranking.totals(&once);
    if positives == 0 || negatives == 0 {
        return Ok(None);
    }
    let mut curves = Curves { roc: vec![[0.0; 2]], precision_recall: Vec::new() };
    let (mut found, mut mistaken) = (0, 0);
    for tie in ranking.ties(&once) {
        found += tie.positives;
        mistaken += tie.negatives;
        let recall = found as f64 / positives as f64;
        let point = [mistaken as f64 / negatives as f64, recall];
        // Of a run of positives, or of negatives, its ends are enough.
        if let [.., before, last] = &curves.roc[..]
            && ((before[0] == last[0] && last[0] == point[0])
                || (before[1] == last[1] && last[1] == point[1]))
        {
            curves.roc.pop();
        }
        curves.roc.push(point);
        // Where no positive is found, the recall stays: nothing to integrate.
        if tie.positives > 0 {
            curves.precision_recall.push([recall, found as f64 / (found + mistaken) as f64]);
        }
    }
    Ok(Some(curves))
}
