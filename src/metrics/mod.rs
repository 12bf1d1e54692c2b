//! How well scores rank clips, mood by mood, as scikit-learn defines it, how far that can be
//! trusted, and how good the decisions are that follow.
//!
//! A mood that no clip has, or every clip, has nothing to rank: its metrics are undefined, `None`
//! here and `null` in JSON, and left out of means, never counted as 0 or 0.5.

mod bootstrap;
mod calibration;
mod curves;
mod decision;
mod judged;
mod predictions;
mod ranking;
mod scores;
mod table;

pub use bootstrap::{
    Bootstrap, Difference, Differences, Interval, Intervals, Resampling, bootstrap, bounded,
    paired_bootstrap,
};
pub use calibration::expected_calibration_error;
pub use curves::{Curves, curves};
pub use decision::{best_threshold, f1, precision_steps, precisions, thresholds, top1_hit_rate};
pub use judged::{Judged, Measured};
pub use predictions::Predictions;
pub use ranking::{Ranking, average_precision, roc_auc};
pub use scores::{Labelled, PerMood, Scores};
pub use table::Table;
