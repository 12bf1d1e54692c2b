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

impl Predictions {
    /// What several models say of the same clips: means of their probabilities and of their losses.
    ///
    /// # Panics
    /// When there is none.
    pub fn mean(several: &[Self]) -> Self {
        let mean = |of: fn(&Self) -> &[f32]| -> Vec<f32> {
            let sum = |at: usize| several.iter().map(|one| f64::from(of(one)[at])).sum::<f64>();
            (0..of(&several[0]).len()).map(|at| (sum(at) / several.len() as f64) as f32).collect()
        };
        Self {
            probabilities: mean(|one| &one.probabilities),
            loss: mean(|one| &one.loss),
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
