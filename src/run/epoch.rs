//! What an epoch ended with.

use serde::{Deserialize, Serialize};

use crate::metrics::{Bootstrap, Scores};
use crate::model::preset::Train;
use crate::{Error, Result};

/// One line of `metrics.jsonl`. Nothing in it depends on the clock, so that a resumed run writes
/// the same bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// Counted from 1.
    pub epoch: u64,
    /// Updates in all.
    pub update: u64,
    /// Learning rate of the next update.
    pub learning_rate: f64,
    /// Mean over the epoch's clips, with dropout, as training saw them.
    pub train_loss: f64,
    /// Mean over the validation clips.
    pub validation_loss: f64,
    /// `macro` and each mood; null where a mood has no positive or no negative.
    pub roc_auc: serde_json::Map<String, serde_json::Value>,
    /// Average precision, likewise.
    pub pr_auc: serde_json::Map<String, serde_json::Value>,
    /// 95 % intervals of `roc_auc`, [low, high], by the bootstrap over the validation clips. Runs of
    /// early versions have none.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub roc_auc_interval: serde_json::Map<String, serde_json::Value>,
    /// The same of `pr_auc`.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub pr_auc_interval: serde_json::Map<String, serde_json::Value>,
}

impl EpochMetrics {
    /// The number that decides which model is kept.
    pub fn macro_roc_auc(&self) -> Option<f64> {
        self.roc_auc.get("macro").and_then(serde_json::Value::as_f64)
    }

    /// The lower end of its interval.
    pub fn macro_roc_auc_low(&self) -> Option<f64> {
        self.roc_auc_interval.get("macro")?.get(0)?.as_f64()
    }
}

/// The line of the best epoch: the greatest macro ROC-AUC, the earliest on ties. Where no mood can be ranked, the
/// least validation loss.
pub fn best(metrics: &[EpochMetrics]) -> Option<&EpochMetrics> {
    metrics.iter().reduce(|best, line| {
        let better = match (best.macro_roc_auc(), line.macro_roc_auc()) {
            (Some(best), Some(new)) => new > best,
            (None, None) => line.validation_loss < best.validation_loss,
            (best, _) => best.is_none(),
        };
        if better { line } else { best }
    })
}

/// The last epoch with the score of the best one, if that is a later one.
pub fn last_as_good(metrics: &[EpochMetrics]) -> Option<u64> {
    let best = best(metrics)?;
    let score = best.macro_roc_auc()?;
    let as_good = metrics.iter().rfind(|line| line.macro_roc_auc() == Some(score))?;
    (as_good.epoch > best.epoch).then_some(as_good.epoch)
}

/// Whether training has ended: after its last epoch, or after `train.patience` of them that were no
/// better than one before.
pub fn is_over(metrics: &[EpochMetrics], train: &Train) -> bool {
    let Some(last) = metrics.last() else { return false };
    let since_best = last.epoch - best(metrics).map_or(1, |best| best.epoch).min(last.epoch);
    last.epoch >= train.epochs || train.patience.is_some_and(|most| since_best >= most)
}

impl EpochMetrics {
    /// With what the validation clips said.
    pub fn judged(self, scores: &Scores, intervals: &Bootstrap, moods: &[String]) -> Result<Self> {
        Ok(Self {
            roc_auc: by_mood(&scores.roc_auc.labelled(moods))?,
            pr_auc: by_mood(&scores.pr_auc.labelled(moods))?,
            roc_auc_interval: by_mood(&intervals.roc_auc.labelled(moods))?,
            pr_auc_interval: by_mood(&intervals.pr_auc.labelled(moods))?,
            ..self
        })
    }
}

fn by_mood(values: &impl Serialize) -> Result<serde_json::Map<String, serde_json::Value>> {
    match serde_json::to_value(values) {
        Ok(serde_json::Value::Object(map)) => Ok(map),
        Ok(_) => Err(Error::failure("metrics by mood are not a map")),
        Err(error) => Err(Error::failure(error.to_string())),
    }
}
