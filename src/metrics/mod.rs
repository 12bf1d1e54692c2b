//! How well scores rank clips, mood by mood, as scikit-learn defines it.
//!
//! A mood that no clip has, or every clip, has nothing to rank: its metrics are undefined, `None`
//! here and `null` in JSON, and left out of means, never counted as 0 or 0.5.

mod curves;
mod judged;
mod ranking;
mod scores;

pub use curves::{Curves, curves};
pub use judged::Judged;
pub use ranking::{average_precision, roc_auc};
pub use scores::{Labelled, PerMood, Scores};
