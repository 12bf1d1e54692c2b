//! What predicting gives.

use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::report::audio_files;

/// The probability of every mood, with its name.
///
/// Serialises as a map in the order of the model's outputs: `{"happy": 0.12, "film": 0.4, …}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Moods {
    names: Arc<[String]>,
    probabilities: Vec<f32>,
}

/// A stretch of a recording and its moods.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Span {
    /// Seconds from the start of the recording.
    pub start: f64,
    /// Seconds from the start of the recording; no later than its end.
    pub end: f64,
    /// Probabilities of this clip alone.
    pub moods: Moods,
}

/// What a model says of one clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// \[moods\]
    pub probabilities: Vec<f32>,
    /// What its last layer reads; empty unless it is asked for.
    pub embedding: Vec<f32>,
}

/// The moods of one recording.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// Length of the recording in seconds.
    pub duration: f64,
    /// The recording is shorter than the model's clip and was padded with silence.
    pub padded: bool,
    /// The file is shorter than its header says; what is there was used.
    #[serde(skip)]
    pub truncated: bool,
    /// Parts of the file could not be decoded and count as silence.
    #[serde(skip)]
    pub damaged: bool,
    /// Every clip is silence ([`crate::audio::is_silent`]), of which the moods say nothing.
    #[serde(skip)]
    pub silent: bool,
    /// What the model's last layer reads, averaged over all clips; empty unless it is asked for.
    #[serde(skip)]
    pub embedding: Vec<f32>,
    /// The average over all clips.
    pub moods: Moods,
    /// Clip after clip; at least one, but none where a scan did not ask for it.
    pub timeline: Vec<Span>,
}

/// How many recordings have which flaw.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flawed {
    padded: usize,
    truncated: usize,
    damaged: usize,
    silent: usize,
}

impl Flawed {
    /// Counts one in.
    pub fn count(&mut self, prediction: &Prediction) {
        self.padded += usize::from(prediction.padded && !prediction.silent);
        self.truncated += usize::from(prediction.truncated);
        self.damaged += usize::from(prediction.damaged);
        self.silent += usize::from(prediction.silent);
    }

    /// A sentence for each kind that was met; what follows of short and of silent ones is the caller's to
    /// say.
    pub fn notes(&self, short: &str, silent: &str) -> Vec<String> {
        [
            (self.padded, format!("shorter than a clip and padded with silence: {short}")),
            (self.truncated, "that end before their header says; what is there is used".to_owned()),
            (self.damaged, "with parts that cannot be decoded and count as silence".to_owned()),
            (self.silent, format!("silent throughout, which {silent}")),
        ]
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, what)| format!("{} {what}", audio_files(number)))
        .collect()
    }
}

impl Moods {
    pub(super) fn new(names: &Arc<[String]>, probabilities: Vec<f32>) -> Self {
        Self { names: Arc::clone(names), probabilities }
    }

    /// The average of several, in f64.
    fn average(names: &Arc<[String]>, all: &[(usize, Heard)]) -> Self {
        Self::new(names, mean(all.iter().map(|(_, clip)| &*clip.probabilities)))
    }

    /// Names and probabilities, in the order of the model's outputs.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, f32)> {
        self.names.iter().map(String::as_str).zip(self.probabilities.iter().copied())
    }

    /// The probability of the mood `name`, where the model knows it.
    pub fn get(&self, name: &str) -> Option<f32> {
        self.iter().find(|(known, _)| *known == name).map(|(_, probability)| probability)
    }

    /// The probabilities alone, in the order of the model's outputs.
    pub fn probabilities(&self) -> &[f32] {
        &self.probabilities
    }

    /// Those of the moods that `names` has, in its order.
    pub(crate) fn selected(&self, names: &Arc<[String]>) -> Self {
        let probabilities = names.iter().filter_map(|name| self.get(name)).collect();
        Self::new(names, probabilities)
    }

    /// The most probable first; equals stay in the model's order.
    pub fn ranked(&self) -> Vec<(&str, f32)> {
        let mut ranked: Vec<_> = self.iter().collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }
}

impl Serialize for Moods {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.names.len()))?;
        for (name, probability) in self.iter() {
            map.serialize_entry(name, &probability)?;
        }
        map.end()
    }
}

impl Prediction {
    /// From the probabilities of clips of `clip_seconds`, each with its place among successive ones.
    pub(super) fn of_clips(
        names: &Arc<[String]>,
        clips: Vec<(usize, Heard)>,
        clip_seconds: f64,
        duration: f64,
    ) -> Self {
        let moods = Moods::average(names, &clips);
        let embedding = mean(clips.iter().map(|(_, clip)| &*clip.embedding));
        let timeline = clips
            .into_iter()
            .map(|(place, clip)| {
                let start = place as f64 * clip_seconds;
                let end = (start + clip_seconds).min(duration);
                Span { start, end, moods: Moods::new(names, clip.probabilities) }
            })
            .collect();
        let padded = duration < clip_seconds;
        Self {
            duration,
            padded,
            truncated: false,
            damaged: false,
            silent: false,
            embedding,
            moods,
            timeline,
        }
    }
}

impl Prediction {
    /// What was said of the whole recording, where its clips are not at hand.
    pub(super) fn with_whole(self, names: &Arc<[String]>, whole: Heard) -> Self {
        let moods = Moods::new(names, whole.probabilities);
        Self { moods, embedding: whole.embedding, ..self }
    }
}

/// The mean of vectors of one length, in f64.
fn mean<'a>(vectors: impl ExactSizeIterator<Item = &'a [f32]>) -> Vec<f32> {
    let count = vectors.len() as f64;
    let mut sums: Vec<f64> = Vec::new();
    for vector in vectors {
        sums.resize(vector.len(), 0.0);
        for (sum, &x) in sums.iter_mut().zip(vector) {
            *sum += f64::from(x);
        }
    }
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}
