//! What follows from a decision: F1 at a threshold, and how often the first mood is right.

use crate::error::Result;

use super::table::Table;

/// F1 of "has the mood from `threshold` on": 2·TP / (2·TP + FP + FN). `None` without a positive.
pub fn f1(targets: &[bool], scores: &[f32], threshold: f64) -> Option<f64> {
    let (mut hits, mut wrong) = (0_u64, 0_u64);
    for (&target, &score) in targets.iter().zip(scores) {
        let chosen = f64::from(score) >= threshold;
        hits += u64::from(chosen && target);
        wrong += u64::from(chosen != target);
    }
    targets.contains(&true).then(|| 2.0 * hits as f64 / (2 * hits + wrong) as f64)
}

/// The threshold with the greatest [`f1`] on these clips, the highest of equals. It lies half-way
/// between the last score that counts and the next below; at the lowest score where all count.
/// `None` without a positive.
///
/// # Errors
/// A score that is not a number; lengths that differ.
pub fn best_threshold(targets: &[bool], scores: &[f32]) -> Result<Option<f64>> {
    // Checks both.
    super::roc_auc(targets, scores)?;
    let positives = targets.iter().filter(|&&target| target).count();
    let mut ranked: Vec<(f32, bool)> =
        scores.iter().copied().zip(targets.iter().copied()).collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut taken, mut hits) = (0, 0);
    let mut best = None;
    let mut greatest = 0.0;
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        taken += tied.len();
        hits += tied.iter().filter(|(_, target)| *target).count();
        // TP + FP = taken and TP + FN = positives.
        let f1 = 2.0 * hits as f64 / (taken + positives) as f64;
        if f1 > greatest {
            let score = f64::from(tied[0].0);
            let below = ranked.get(taken).map_or(score, |next| f64::from(next.0));
            (greatest, best) = (f1, Some(f64::midpoint(score, below)));
        }
    }
    Ok(best.filter(|threshold| threshold.is_finite()))
}

/// [`best_threshold`] of every mood.
///
/// # Errors
/// As [`best_threshold`].
pub fn thresholds(table: Table<'_>) -> Result<Vec<Option<f64>>> {
    (0..table.moods())
        .map(|mood| {
            let (targets, scores) = table.mood(mood);
            best_threshold(&targets, &scores)
        })
        .collect()
}

/// Of fewer clips, a share is chance.
const TELLING: usize = 5;

/// How precise decisions are: thresholds, each with the share of the clips from there on that have the
/// mood. A higher threshold is there only if it is more precise than all below it, so that the first one
/// with the precision that is wanted finds the most. Thresholds that fewer than 5 clips reach are left out.
///
/// # Errors
/// As [`best_threshold`].
pub fn precision_steps(targets: &[bool], scores: &[f32]) -> Result<Vec<(f64, f64)>> {
    // Checks both.
    super::roc_auc(targets, scores)?;
    let mut ranked: Vec<(f32, bool)> =
        scores.iter().copied().zip(targets.iter().copied()).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut left, mut hits) = (ranked.len(), targets.iter().filter(|&&target| target).count());
    let mut steps: Vec<(f64, f64)> = Vec::new();
    for tied in ranked.chunk_by(|a, b| a.0 == b.0) {
        if left < TELLING {
            break;
        }
        let precision = hits as f64 / left as f64;
        if steps.last().map_or(hits > 0, |&(_, last)| precision > last) {
            steps.push((f64::from(tied[0].0), precision));
        }
        left -= tied.len();
        hits -= tied.iter().filter(|(_, target)| *target).count();
    }
    Ok(steps)
}

/// [`precision_steps`] of every mood.
///
/// # Errors
/// As [`precision_steps`].
pub fn precisions(table: Table<'_>) -> Result<Vec<Vec<(f64, f64)>>> {
    (0..table.moods())
        .map(|mood| {
            let (targets, scores) = table.mood(mood);
            precision_steps(&targets, &scores)
        })
        .collect()
}

/// The share of clips whose highest score is that of a mood they have; of equal scores the first
/// counts. `None` without clips.
pub fn top1_hit_rate(table: Table<'_>) -> Option<f64> {
    let hits = table.clips_iter().filter(|(targets, scores)| {
        let best = (1..scores.len())
            .fold(0, |best, mood| if scores[mood] > scores[best] { mood } else { best });
        targets[best]
    });
    (table.clips() > 0).then(|| hits.count() as f64 / table.clips() as f64)
}
