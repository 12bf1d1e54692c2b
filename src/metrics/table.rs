//! Targets and scores of a split.

use crate::error::{Error, Result};

/// Targets and scores of the same clips, both [clips, moods] row-major.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    targets: &'a [bool],
    scores: &'a [f32],
    moods: usize,
}

impl<'a> Table<'a> {
    /// Puts `targets` and `scores` side by side.
    ///
    /// # Errors
    /// Lengths that differ or are no multiple of `moods`; a score that is not a number.
    pub fn new(targets: &'a [bool], scores: &'a [f32], moods: usize) -> Result<Self> {
        if moods == 0 || targets.len() != scores.len() || !targets.len().is_multiple_of(moods) {
            return Err(Error::failure(format!(
                "{} targets and {} scores are not clips × {moods} moods",
                targets.len(),
                scores.len()
            )));
        }
        if let Some(place) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::failure(format!(
                "mood {}: the score of clip {} is not a number",
                place % moods,
                place / moods
            )));
        }
        Ok(Self { targets, scores, moods })
    }

    /// Rows.
    pub fn clips(&self) -> usize {
        self.targets.len() / self.moods
    }

    /// Columns.
    pub fn moods(&self) -> usize {
        self.moods
    }

    /// All targets, [clips, moods].
    pub fn targets(&self) -> &'a [bool] {
        self.targets
    }

    /// All scores, [clips, moods].
    pub fn scores(&self) -> &'a [f32] {
        self.scores
    }

    /// Targets and scores of one mood, by clip.
    pub fn mood(&self, mood: usize) -> (Vec<bool>, Vec<f32>) {
        let targets = self.targets.iter().copied().skip(mood).step_by(self.moods).collect();
        (targets, self.scores.iter().copied().skip(mood).step_by(self.moods).collect())
    }

    /// Targets and scores of one clip after another, by mood.
    pub fn clips_iter(&self) -> impl Iterator<Item = (&'a [bool], &'a [f32])> + use<'a> {
        self.targets.chunks(self.moods).zip(self.scores.chunks(self.moods))
    }
}
