//! Whether a probability of 0.3 means three clips in ten.

/// Bins of equal width over the probabilities.
const BINS: usize = 15;

/// Expected calibration error (Naeini et al. 2015; Guo et al. 2017), of single yes-or-no questions:
/// `scores` fall into 15 bins of equal width over [0, 1], and the error is the average distance
/// between a bin's mean score and its share of positives, weighted by how many fall into it. 0 is
/// perfect. For several moods, pass all pairs of clip and mood. `None` without any.
pub fn expected_calibration_error(targets: &[bool], scores: &[f32]) -> Option<f64> {
    // Sum of the scores and number of the positives.
    let mut bins = [(0.0, 0_u64); BINS];
    for (&target, &score) in targets.iter().zip(scores) {
        let place = (f64::from(score) * BINS as f64) as usize;
        let bin = &mut bins[place.min(BINS - 1)];
        bin.0 += f64::from(score);
        bin.1 += u64::from(target);
    }
    let distance: f64 = bins.iter().map(|&(sum, positives)| (sum - positives as f64).abs()).sum();
    (!scores.is_empty()).then(|| distance / scores.len() as f64)
}
