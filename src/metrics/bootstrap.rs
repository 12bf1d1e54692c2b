//! How far a metric would move if other clips had been drawn: the bootstrap over clips.
//!
//! Each resample draws as many clips as there are, with replacement; all moods of a clip go
//! together. The interval is the percentile one (Efron and Tibshirani 1993): from the 2.5th to the
//! 97.5th percentile of the metric over the resamples. A mood that has no positive or no negative in
//! a resample is left out of that resample, as it is everywhere else. Resamples of few positives have a higher
//! average precision than the clips as they are; the interval of a metric is widened to hold it where it lies outside.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::{PerMood, Ranking, Table};
use crate::error::{Error, Result};

/// How resamples are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Resampling {
    /// How many are drawn.
    pub resamples: u32,
    /// The same seed draws the same clips, on any number of threads.
    pub seed: u64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { resamples: 1000, seed: 0 }
    }
}

/// A 95 % interval; in JSON `[low, high]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval(
    /// The 2.5th percentile.
    pub f64,
    /// The 97.5th percentile.
    pub f64,
);

/// "0.8123 [0.701, 0.902]", or a dash where there is no value.
pub fn bounded(value: Option<f64>, interval: Option<Interval>) -> String {
    match (value, interval) {
        (Some(value), Some(Interval(low, high))) => format!("{value:.4} [{low:.3}, {high:.3}]"),
        (value, _) => value.map_or("-".to_owned(), |value| format!("{value:.4}")),
    }
}

/// The intervals of one metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Intervals {
    /// In the order of the labels; `None` where no resample defines the metric.
    pub moods: Vec<Option<Interval>>,
    /// The macro mean's.
    pub macro_mean: Option<Interval>,
}

/// The intervals of both ranking metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// ROC-AUC's.
    pub roc_auc: Intervals,
    /// Average precision's.
    pub pr_auc: Intervals,
}

/// How much better one model is than another on the same clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Second minus first, on the clips as they are.
    pub value: PerMood,
    /// 95 % intervals of it. One that does not hold 0 is a difference beyond the draw of the clips.
    pub intervals: Intervals,
}

/// Both metrics, second minus first.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences {
    /// ROC-AUC's.
    pub roc_auc: Difference,
    /// Average precision's.
    pub pr_auc: Difference,
}

/// The metrics of every mood in one resample.
struct Sample {
    roc_auc: PerMood,
    pr_auc: PerMood,
}

/// Intervals of ROC-AUC and average precision, per mood and macro.
///
/// # Errors
/// A score that is not a number.
pub fn bootstrap(table: Table<'_>, resampling: Resampling) -> Result<Bootstrap> {
    let rankings = rankings(table)?;
    let samples = resample(table.clips(), resampling, |counts| Sample::new(&rankings, counts));
    let whole = Sample::new(&rankings, &vec![1; table.clips()]);
    let of = |metric: fn(&Sample) -> &PerMood| {
        Intervals::of(samples.iter().map(metric)).holding(metric(&whole))
    };
    Ok(Bootstrap { roc_auc: of(|s| &s.roc_auc), pr_auc: of(|s| &s.pr_auc) })
}

/// The paired bootstrap: both models are judged on the same clips in every resample, so that what
/// makes a clip hard for both does not blur the difference.
///
/// # Errors
/// The tables have not the same targets; a score that is not a number.
pub fn paired_bootstrap(
    first: Table<'_>,
    second: Table<'_>,
    resampling: Resampling,
) -> Result<Differences> {
    if first.moods() != second.moods() || first.targets() != second.targets() {
        return Err(Error::input(
            "two models can be compared on the same clips with the same labels only",
        ));
    }
    let (one, other) = (rankings(first)?, rankings(second)?);
    let difference = |counts: &[u32]| {
        let (one, other) = (Sample::new(&one, counts), Sample::new(&other, counts));
        Sample {
            roc_auc: subtract(&other.roc_auc, &one.roc_auc),
            pr_auc: subtract(&other.pr_auc, &one.pr_auc),
        }
    };
    let whole = difference(&vec![1; first.clips()]);
    let samples = resample(first.clips(), resampling, difference);
    let of = |value: PerMood, metric: fn(&Sample) -> &PerMood| Difference {
        value,
        intervals: Intervals::of(samples.iter().map(metric)),
    };
    Ok(Differences {
        roc_auc: of(whole.roc_auc, |s| &s.roc_auc),
        pr_auc: of(whole.pr_auc, |s| &s.pr_auc),
    })
}

fn rankings(table: Table<'_>) -> Result<Vec<Ranking>> {
    (0..table.moods())
        .map(|mood| {
            let (targets, scores) = table.mood(mood);
            Ranking::new(&targets, &scores)
        })
        .collect()
}

/// `judge` of how often each clip was drawn, for every resample in order.
fn resample(
    clips: usize,
    resampling: Resampling,
    judge: impl Fn(&[u32]) -> Sample + Sync,
) -> Vec<Sample> {
    let draw = |resample: u32| {
        let mut counts = vec![0; clips];
        let mut rng = ChaCha8Rng::seed_from_u64(resampling.seed);
        rng.set_stream(u64::from(resample));
        for _ in 0..clips {
            counts[rng.random_range(0..clips)] += 1;
        }
        judge(&counts)
    };
    (0..resampling.resamples).into_par_iter().map(draw).collect()
}

/// The same targets define the same moods, so that both means are over the same ones.
fn subtract(a: &PerMood, b: &PerMood) -> PerMood {
    PerMood::new(a.moods.iter().zip(&b.moods).map(|(a, b)| Some((*a)? - (*b)?)).collect())
}

impl Sample {
    fn new(rankings: &[Ranking], counts: &[u32]) -> Self {
        let of = |metric: fn(&Ranking, &[u32]) -> Option<f64>| {
            PerMood::new(rankings.iter().map(|ranking| metric(ranking, counts)).collect())
        };
        Self { roc_auc: of(Ranking::roc_auc), pr_auc: of(Ranking::average_precision) }
    }
}

impl Intervals {
    /// Wide enough for the metric on the clips as they are.
    fn holding(mut self, whole: &PerMood) -> Self {
        let hold = |interval: &mut Option<Interval>, value: Option<f64>| {
            if let (Some(Interval(low, high)), Some(value)) = (interval, value) {
                (*low, *high) = (low.min(value), high.max(value));
            }
        };
        for (interval, value) in self.moods.iter_mut().zip(&whole.moods) {
            hold(interval, *value);
        }
        hold(&mut self.macro_mean, whole.macro_mean);
        self
    }

    fn of<'a>(samples: impl Iterator<Item = &'a PerMood> + Clone) -> Self {
        let moods = samples.clone().next().map_or(0, |sample| sample.moods.len());
        Self {
            moods: (0..moods)
                .map(|mood| Interval::of(samples.clone().filter_map(|sample| sample.moods[mood])))
                .collect(),
            macro_mean: Interval::of(samples.filter_map(|sample| sample.macro_mean)),
        }
    }
}

impl Interval {
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then(|| Self(percentile(&values, 0.025), percentile(&values, 0.975)))
    }
}

/// NumPy's: between two values, a straight line.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let below = sorted[place.floor() as usize];
    let above = sorted[place.ceil() as usize];
    below + (above - below) * place.fract()
}
