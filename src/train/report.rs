//! What a run puts into `report.html`.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Run;
use crate::audio::AudioFile;
use crate::dataset::batches::Batch;
use crate::dataset::features::{Extractor, FeatureRecipe, Features};
use crate::files::write_atomically;
use crate::metrics::Judged;
use crate::model::checkpoint::Checkpoint;
use crate::report::page::{Exhibit, Filters, Page, Throughput, Timeline, data_url, most_wrong};
use crate::report::{Events, Progress};
use crate::run::read_predictions;
use crate::{Error, Result};

/// Clips that a track must have for a timeline.
const SHORTEST_TRACK: f64 = 2.0;
/// Windows of a timeline start this share of a clip after one another, ...
const WINDOWS_A_CLIP: f64 = 8.0;
/// ... or further apart in a long track, so that there are no more than these and one.
const MOST_WINDOWS: f64 = 16.0;

impl Run {
    /// Writes `report.html` anew. Without `timelines` they are said to come later.
    pub(super) fn report(
        &self,
        events: &Events,
        timelines: Vec<Timeline>,
        finished: bool,
    ) -> Result<()> {
        let preset = &self.config.preset;
        let read = |path: &Path| -> Result<Option<Judged>> {
            match path.exists() && !self.metrics.is_empty() {
                true => read_predictions(path).map(Some),
                false => Ok(None),
            }
        };
        let validation = read(&self.folder.predictions())?;
        if let Some(validation) = &validation {
            self.check_clips(validation)?;
        }
        let test = read(&self.folder.test_predictions())?;
        let mels = preset.features.mels;
        let mut exhibits = Vec::new();
        let mut timelines = timelines.into_iter();
        for clip in validation.as_ref().map(most_wrong).unwrap_or_default() {
            let spectrogram =
                self.spectrogram(clip).map(|values| data_url(&values, mels)).transpose()?;
            let timeline = timelines.next().unwrap_or_default();
            exhibits.push(Exhibit { clip, spectrogram, timeline });
        }
        let page = Page {
            preset_name: &self.config.preset_name,
            data: &self.config.data.name(),
            preset,
            seed: self.config.seed,
            update: self.update,
            updates_per_epoch: self.updates_per_epoch(),
            finished,
            clips: self.clips.parts().map(<[_]>::len),
            epochs: &self.metrics,
            losses: events.losses(),
            validation: validation.as_ref(),
            test: test.as_ref(),
            exhibits: &exhibits,
            filters: &self.filters()?,
            throughput: Throughput {
                folder: &self.folder.path().display().to_string(),
                device: &self.device.describe(),
                pace: &self.pace,
            },
        };
        write_atomically(&self.folder.report(), page.html()?.as_bytes())
    }

    /// The log-mel spectrogram of a validation clip, of its middle window, if it is in the cache: a run
    /// with frozen layers keeps only what those make of it.
    fn spectrogram(&self, clip: usize) -> Option<Vec<f32>> {
        if self.embedder.is_some() {
            return None;
        }
        let clip = &self.clips.validation[clip];
        let values = self.cache.get(clip.input)?.values;
        let size = values.len() / clip.windows;
        Some(values[clip.windows / 2 * size..][..size].to_vec())
    }

    /// Rows of predictions.csv stand for the validation clips, in their order.
    fn check_clips(&self, judged: &Judged) -> Result<()> {
        let clips = &self.clips.validation;
        let same = judged.clips() == clips.len()
            && clips.iter().zip(&judged.names).all(|(clip, name)| clip.track.track.listed == *name);
        match same && judged.moods == self.config.preset.moods {
            true => Ok(()),
            false => Err(Error::input(format!(
                "{} has other clips or moods than the run; restore it",
                self.folder.predictions().display()
            ))),
        }
    }

    /// The best model's kernels that meet the spectrogram.
    fn filters(&self) -> Result<Vec<Filters>> {
        if self.metrics.is_empty() || !self.folder.best().exists() {
            return Ok(Vec::new());
        }
        let checkpoint = Checkpoint::read(&self.folder.best())?;
        let filters = |branch: &crate::model::preset::Branch| {
            let name = format!("{}.blocks.0.conv.weight", branch.name);
            let tensor = checkpoint.tensors.get(&name).ok_or_else(|| {
                Error::input(format!(
                    "{} has no {name}, so that it is not of this run; restore it",
                    self.folder.best().display()
                ))
            })?;
            let (branch, kernel) = (branch.name.clone(), branch.kernel);
            Ok(Filters { branch, kernel, values: tensor.values.clone() })
        };
        self.config.preset.model.branch.iter().map(filters).collect()
    }

    /// How the model on the device judges the tracks that the report shows, along their length; `None`
    /// where `stop` was set before the last.
    pub(super) fn timelines(
        &mut self,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Option<Vec<Timeline>>> {
        let validation = read_predictions(&self.folder.predictions())?;
        self.check_clips(&validation)?;
        let wrong = most_wrong(&validation);
        if wrong.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let mut extractor = Extractor::new(&self.device, FeatureRecipe::of(&self.config.preset))?;
        let bar = progress.bar("timelines for the report", wrong.len());
        let mut timelines = Vec::new();
        for clip in wrong {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let path = self.clips.validation[clip].track.track.path.clone();
            let windows = match self.windows(&path) {
                Ok(windows) => windows,
                // The file was there when its features were computed; the rest goes on.
                Err(error) => {
                    timelines.push(Timeline::Missing(error.to_string()));
                    continue;
                }
            };
            let Some(Windows { seconds, samples, clip }) = windows else {
                timelines.push(Timeline::Short);
                continue;
            };
            let samples: Vec<&[f32]> = samples.iter().map(Vec::as_slice).collect();
            let mut features = extractor.extract(&samples)?;
            if let Some(embedder) = &mut self.embedder {
                let spectrograms: Vec<&[f32]> =
                    features.iter().map(|features| &*features.log_mel).collect();
                let summaries = embedder.summarise(&spectrograms)?;
                let embedded = embedder.embed(summaries)?;
                for (features, embedded) in features.iter_mut().zip(embedded) {
                    features.log_mel = embedded;
                }
            }
            let scores = self.scores(&features)?;
            timelines.push(Timeline::Scores { seconds, scores, clip });
            bar.at(timelines.len());
        }
        Ok(Some(timelines))
    }

    /// Windows as long as a clip, centred at equal distances from the track's start to its end.
    /// None in a track of less than two clips.
    fn windows(&self, path: &Path) -> Result<Option<Windows>> {
        let preset = &self.config.preset;
        let (rate, length) = (f64::from(preset.audio.sample_rate), preset.clip_samples());
        let mut file = AudioFile::open(path, preset.audio.sample_rate)?;
        let (track, clip) = (file.seconds(), length as f64 / rate);
        if track < SHORTEST_TRACK * clip {
            return Ok(None);
        }
        let parts = (track / clip * WINDOWS_A_CLIP).round().clamp(1.0, MOST_WINDOWS) as usize;
        let seconds: Vec<f64> =
            (0..=parts).map(|part| track * part as f64 / parts as f64).collect();
        let cut = preset.cut();
        let start =
            |centre: f64| (centre * rate).round() as i64 - (length / 2) as i64 - cut.before as i64;
        let samples = seconds
            .iter()
            .map(|&centre| file.window(start(centre), cut.samples))
            .collect::<Result<_>>()?;
        let begin = ((track - clip) / 2.0).max(0.0);
        Ok(Some(Windows { seconds, samples, clip: [begin, (begin + clip).min(track)] }))
    }

    /// Scores [clips, moods] of features that belong to no batch: plans are for whole batches, so
    /// the last one is filled up with copies.
    fn scores(&mut self, features: &[Features]) -> Result<Vec<f32>> {
        let batch = self.session.smallest_prediction().ok_or_else(|| {
            Error::failure("no plan for predictions was made, and the report needs one")
        })?;
        let moods = self.config.preset.moods.len();
        let mut scores = Vec::with_capacity(features.len() * moods);
        for group in features.chunks(batch) {
            let filled = (0..batch).map(|at| &group[at.min(group.len() - 1)]);
            let batch = Batch::new(filled, Vec::new());
            let probabilities = self.session.predict(batch.inputs())?()?;
            scores.extend_from_slice(&probabilities[..group.len() * moods]);
        }
        Ok(scores)
    }
}

/// A track in overlapping parts.
struct Windows {
    /// Their centres.
    seconds: Vec<f64>,
    samples: Vec<Vec<f32>>,
    /// Begin and end of the track's centre clip, in seconds.
    clip: [f64; 2],
}
