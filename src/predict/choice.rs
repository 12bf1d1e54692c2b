//! Which of the moods that a model names a song is given.

use std::collections::BTreeMap;

use super::prediction::Prediction;
use crate::metrics::Judged;
use crate::model::checkpoint::Description;
use crate::spelling::nearest_first;
use crate::{Error, Result};

/// From which probability on a song has a mood, and how many it may have.
#[derive(Clone, Debug)]
pub struct Choice {
    labels: Vec<String>,
    /// Those of the labels that are moods.
    moods: Vec<String>,
    thresholds: BTreeMap<String, f64>,
    most: usize,
    /// A song that reaches no threshold is given its most probable mood.
    one_at_least: bool,
}

impl Choice {
    /// The thresholds of the checkpoint. A song that reaches none has its most probable mood, but not of a
    /// model that knows much besides moods: that may have none for a song.
    pub fn of(description: &Description) -> Self {
        let labels = description.labels.clone();
        let threshold = |label: &String| Some((label.clone(), description.threshold(label)?));
        Self {
            thresholds: labels.iter().filter_map(threshold).collect(),
            moods: description.moods().to_vec(),
            labels,
            most: usize::MAX,
            one_at_least: description.moods.is_none(),
        }
    }

    /// Without thresholds that are known yet: from any probability on.
    pub fn of_any_probability(description: &Description) -> Self {
        let of = Self::of(description);
        Self { thresholds: of.labels.iter().map(|label| (label.clone(), 0.0)).collect(), ..of }
    }

    /// The lowest thresholds from which on at least `share` of some clips had the mood: of songs that it has
    /// `judged`, else of the model's validation clips. A mood that is never so sure is given to no song: these
    /// are returned as well.
    ///
    /// # Errors
    /// The checkpoint does not say how precise it is.
    pub fn precise(
        description: &Description,
        share: f64,
        judged: Option<&Judged>,
    ) -> Result<(Self, Vec<String>)> {
        let labels = &description.labels;
        let precisions = match (judged, &description.precisions) {
            (Some(judged), _) => judged.precisions()?,
            (None, Some(precisions)) => precisions.clone(),
            (None, None) => {
                return Err(Error::input(
                    "--min-precision needs a model that says how precise it was on its validation clips: \
                     best.safetensors of a run of this version does, one model alone; for others, name songs \
                     whose moods are known (--labelled MANIFEST), or thresholds (--threshold \
                     MOOD=PROBABILITY)",
                ));
            }
        };
        let mut thresholds = BTreeMap::new();
        let mut missing = Vec::new();
        for (label, steps) in labels.iter().zip(precisions) {
            match steps.iter().find(|(_, precision)| *precision >= share) {
                Some(&(threshold, _)) => _ = thresholds.insert(label.clone(), threshold),
                // What is no mood is given to none anyway.
                None if !description.moods().contains(label) => {}
                None => missing.push(label.clone()),
            }
        }
        Ok((Self { thresholds, one_at_least: false, ..Self::of(description) }, missing))
    }

    /// A song has `mood` from `threshold` on.
    ///
    /// # Errors
    /// The model does not know the mood.
    pub fn set(&mut self, mood: &str, threshold: f64) -> Result<()> {
        let known = self.label(mood)?.to_owned();
        self.thresholds.insert(known, threshold);
        self.one_at_least = false;
        Ok(())
    }

    /// A song has at most so many moods, the most probable ones.
    pub fn at_most(&mut self, moods: usize) {
        self.most = moods;
    }

    /// What the model calls `mood`, whose case may be another.
    ///
    /// # Errors
    /// The model does not know the mood.
    pub fn label(&self, mood: &str) -> Result<&str> {
        let find = |is: &dyn Fn(&str) -> bool| self.labels.iter().find(|label| is(label));
        let known = find(&|label| label == mood)
            .or_else(|| find(&|label| label.eq_ignore_ascii_case(mood)));
        if let Some(known) = known {
            return Ok(known);
        }
        let known = self.labels.iter().map(String::as_str);
        Err(Error::input(format!(
            "{mood}: the model does not know this mood; it knows {}",
            nearest_first(mood, known).join(", ")
        )))
    }

    /// From which probability on a song has `mood`, where there is one.
    pub fn threshold(&self, mood: &str) -> Option<f64> {
        self.thresholds.get(mood).copied()
    }

    /// Whether a probability of `mood` reaches its threshold; never where there is none.
    pub fn reaches(&self, mood: &str, probability: f32) -> bool {
        self.threshold(mood).is_some_and(|threshold| f64::from(probability) >= threshold)
    }

    /// The moods of a song, the most probable first: what its tag names. Silence has none, and of less than
    /// a clip too little is known.
    pub fn moods_of<'a>(&self, prediction: &'a Prediction) -> Vec<&'a str> {
        if prediction.silent || prediction.padded {
            return Vec::new();
        }
        let mut ranked = prediction.moods.ranked();
        ranked.retain(|(label, _)| self.moods.iter().any(|mood| mood == label));
        let reaching = ranked.iter().filter(|(mood, probability)| self.reaches(mood, *probability));
        let mut chosen: Vec<&str> = reaching.map(|(mood, _)| *mood).collect();
        if chosen.is_empty() && self.one_at_least {
            chosen.extend(ranked.first().map(|(mood, _)| *mood));
        }
        chosen.truncate(self.most);
        chosen
    }
}
