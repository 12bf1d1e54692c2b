//! What a model says of clips, beside the truth.

use super::Scores;
use crate::{Error, Result};

/// Predictions for some clips.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    /// [clips, moods]
    pub probabilities: Vec<f32>,
    /// \[clips\]
    pub loss: Vec<f32>,
    /// [clips, moods]
    pub targets: Vec<bool>,
}

/// The mean of each place of several lists, in f64.
pub(super) fn means<'a>(several: impl Iterator<Item = &'a [f32]>) -> Vec<f32> {
    let several = Vec::from_iter(several);
    let sum = |at: usize| several.iter().map(|one| f64::from(one[at])).sum::<f64>();
    let places = several.first().map_or(0, |first| first.len());
    (0..places).map(|at| (sum(at) / several.len() as f64) as f32).collect()
}

impl Predictions {
    /// What several models say of the same clips: means of their probabilities and of their losses.
    ///
    /// # Panics
    /// When there is none.
    pub fn mean(several: &[Self]) -> Self {
        Self {
            probabilities: means(several.iter().map(|one| &*one.probabilities)),
            loss: means(several.iter().map(|one| &*one.loss)),
            targets: several[0].targets.clone(),
        }
    }

    /// How well the probabilities rank the clips.
    ///
    /// # Errors
    /// A probability that is not a number.
    pub fn scores(&self, moods: usize) -> Result<Scores> {
        Scores::new(&self.targets, &self.probabilities, moods)
    }

    /// Mean over the clips, in f64.
    ///
    /// # Errors
    /// A loss that is not finite.
    pub fn mean_loss(&self) -> Result<f64> {
        let sum: f64 = self.loss.iter().map(|&loss| f64::from(loss)).sum();
        match sum.is_finite() {
            true => Ok(sum / self.loss.len() as f64),
            false => Err(Error::failure("the loss of a clip is not finite: the model is broken")),
        }
    }
}
