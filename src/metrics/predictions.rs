//! What a model says of clips, beside the truth.

use super::Scores;
use crate::Result;

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
    /// How well the probabilities rank the clips.
    ///
    /// # Errors
    /// A probability that is not a number.
    pub fn scores(&self, moods: usize) -> Result<Scores> {
        Scores::new(&self.targets, &self.probabilities, moods)
    }

    /// Over the clips, in f64.
    pub fn mean_loss(&self) -> f64 {
        self.loss.iter().map(|&loss| f64::from(loss)).sum::<f64>() / self.loss.len() as f64
    }
}
