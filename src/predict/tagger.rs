//! A checkpoint on a device, ready to predict.

use std::path::Path;
use std::sync::Arc;

use super::prediction::{Heard, Prediction};
use crate::audio::{AudioFile, Cut, Waveform, is_silent};
use crate::dataset::batches::Batch;
use crate::dataset::features::{Extractor, FeatureRecipe};
use crate::exec::Device;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::{Purpose, Session, builtin};
use crate::{Error, Result};

/// Clips that are predicted at a time where there are enough; the rest goes in smaller batches. A
/// device that cannot do the largest, for its limits or its memory, does without it.
const BATCHES: [usize; 3] = [16, 4, 1];

/// A trained model, ready to predict: its recipe, moods and normalisation come from the checkpoint.
///
/// ```
/// # use moodshader::model::checkpoint::{Checkpoint, Description, Normalization};
/// # use moodshader::model::parameters::{initialise, initialise_buffers};
/// # use moodshader::model::preset::Preset;
/// # let preset = Preset::from_toml(
/// #     "moods = ['dark', 'happy']\n[audio]\nclip_seconds = 1.0\n[features]\nmels = 16\n\
/// #      [[model.branch]]\nname = 'horizontal'\nkernel = [1, 3]\nchannels = [4, 4]\n\
/// #      pool = [2, 2]\nlstm = [4]",
/// #     "example",
/// # )?;
/// # let description = Description {
/// #     normalization: Normalization { mean: -40.0, std: 20.0, handcrafted: None },
/// #     ..Description::untrained(&preset)
/// # };
/// # let mut tensors = initialise(&preset, 0);
/// # tensors.extend(initialise_buffers(&preset));
/// # let folder = std::env::temp_dir().join(format!("moodshader-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("best.safetensors");
/// # Checkpoint::new(&description, tensors)?.write(&path)?;
/// # let samples: Vec<f32> = (0..110_250).map(|n| (0.05 * n as f32).sin()).collect();
/// use moodshader::{Device, Tagger};
///
/// let mut tagger = Tagger::open(&path, &Device::auto()?)?;
/// let prediction = tagger.predict(&samples, 44_100)?;
/// for (mood, probability) in prediction.moods.ranked() {
///     println!("{mood} {probability:.3}");
/// }
/// # assert_eq!(prediction.duration, 2.5);
/// # assert_eq!(prediction.timeline.len(), 3);
/// # assert!((prediction.moods.probabilities().iter().sum::<f32>() - 1.0).abs() < 1e-5);
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tagger {
    description: Description,
    moods: Arc<[String]>,
    extractor: Extractor,
    /// One a model; their probabilities are averaged.
    sessions: Vec<Session>,
    /// Sizes of batches that were planned, the largest first; the last is 1.
    batches: &'static [usize],
    windows: Option<usize>,
    embeds: bool,
}

impl Tagger {
    /// Reads the checkpoint at `path` and makes it ready on `device`.
    ///
    /// # Errors
    /// The file is no checkpoint, or the device cannot hold the model.
    pub fn open(path: impl AsRef<Path>, device: &Device) -> Result<Self> {
        Self::new(&Checkpoint::read(path.as_ref())?, device)
            .map_err(|error| error.context(path.as_ref().display()))
    }

    /// Makes the built-in model ready on `device`: MusiCNN, which knows 50 tags of the Million Song
    /// Dataset's listeners, moods among them.
    ///
    /// # Errors
    /// The device cannot hold the model.
    pub fn builtin(device: &Device) -> Result<Self> {
        Self::new(&builtin::checkpoint(builtin::DEFAULT)?, device)
    }

    /// Makes `checkpoint` ready on `device`.
    ///
    /// # Errors
    /// A tensor is missing, or the device cannot hold the model.
    pub fn new(checkpoint: &Checkpoint, device: &Device) -> Result<Self> {
        Self::ensemble(std::slice::from_ref(checkpoint), device)
    }

    /// Makes several models ready that know the same moods and hear the same features: their probabilities
    /// are averaged, and so are their thresholds.
    ///
    /// # Errors
    /// There is none, or they differ in more than weights; as [`Self::new`].
    pub fn ensemble(checkpoints: &[Checkpoint], device: &Device) -> Result<Self> {
        let description = together(checkpoints)?;
        let extractor = Extractor::new(device, FeatureRecipe::of(&description.preset))?;
        let mut batches = &BATCHES[..];
        let sessions = loop {
            let open = |checkpoint| Session::open(device, checkpoint, Purpose::Inference, batches);
            match checkpoints.iter().map(open).collect::<Result<Vec<Session>>>() {
                Err(error) if error.kind.asks_for_less() && batches.len() > 1 => {
                    batches = &batches[1..];
                }
                sessions => break sessions?,
            }
        };
        let moods = description.labels.clone().into();
        let windows = description.preset.audio.windows;
        Ok(Self { description, moods, extractor, sessions, batches, windows, embeds: false })
    }

    /// What the checkpoint says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Names of the model's outputs, in their order.
    pub fn moods(&self) -> &Arc<[String]> {
        &self.moods
    }

    /// Hz that the model hears.
    pub fn sample_rate(&self) -> u32 {
        self.description.preset.audio.sample_rate
    }

    /// How clips are cut from a recording, at [`Self::sample_rate`].
    pub fn cut(&self) -> Cut {
        self.description.preset.cut()
    }

    /// Seconds of one clip.
    pub fn clip_seconds(&self) -> f64 {
        self.cut().step as f64 / f64::from(self.sample_rate())
    }

    /// How many clips are heard of a recording, evenly spread; all if there is no number.
    pub fn windows(&self) -> Option<usize> {
        self.windows
    }

    /// Hears so many clips of a recording, evenly spread, or all.
    pub fn set_windows(&mut self, windows: Option<usize>) {
        self.windows = windows;
    }

    /// Gives embeddings as well: what the last layer reads, of several models the first one's.
    pub fn set_embedding(&mut self, embeds: bool) {
        self.embeds = embeds;
    }

    /// Clips that are best given at a time.
    pub fn batch(&self) -> usize {
        self.batches[0]
    }

    /// The moods of a recording: mono `samples`, full scale ±1, at any `sample_rate` (Hz). It is cut
    /// into successive clips, whose probabilities, or those of [`Self::windows`] of them, are
    /// averaged; a tail shorter than half a clip (than a clip, where the preset has
    /// `features.context`) is dropped unless it is all there is, and what is short is padded with
    /// silence.
    ///
    /// # Errors
    /// No samples, one that is not finite, a rate outside 1 kHz to 768 kHz; the device fails.
    pub fn predict(&mut self, samples: &[f32], sample_rate: u32) -> Result<Prediction> {
        if samples.is_empty() {
            return Err(Error::input("a recording needs at least one sample"));
        }
        if let Some(place) = samples.iter().position(|sample| !sample.is_finite()) {
            return Err(Error::input(format!("sample {place} is not a finite number")));
        }
        let duration = samples.len() as f64 / f64::from(sample_rate);
        let wave = Waveform { sample_rate, samples: samples.to_vec() };
        let samples = wave.resampled(self.sample_rate())?.samples;
        let silent = is_silent(&samples);
        let cut = self.cut();
        let places = cut.heard(samples.len() as u64, self.windows);
        // Around the recording is silence.
        let mut heard = vec![0.0; cut.before];
        heard.extend(samples);
        let last = places.last().map_or(0, |place| place * cut.step);
        heard.resize(heard.len().max(last + cut.samples), 0.0);
        let clips: Vec<&[f32]> =
            places.iter().map(|place| &heard[place * cut.step..][..cut.samples]).collect();
        let clips = places.iter().copied().zip(self.predict_clips(&clips)?).collect();
        let prediction = Prediction::of_clips(&self.moods, clips, self.clip_seconds(), duration);
        Ok(Prediction { silent, ..prediction })
    }

    /// The moods of the audio file at `path`, as [`Self::predict`]. A file of hours needs the memory
    /// of a few clips.
    ///
    /// # Errors
    /// The file cannot be read or decoded; the device fails.
    pub fn predict_file(&mut self, path: impl AsRef<Path>) -> Result<Prediction> {
        let mut file = AudioFile::open(path.as_ref(), self.sample_rate())?;
        let duration = file.seconds();
        let (mut truncated, mut damaged, mut silent) = (false, false, true);
        let mut waiting = Vec::with_capacity(self.batch());
        let (mut places, mut clips) = (Vec::new(), Vec::new());
        let mut heard = file.clips(self.cut(), self.windows)?;
        loop {
            let clip = heard.next().transpose()?;
            let ended = clip.is_none();
            if let Some((place, clip)) = clip {
                places.push(place);
                truncated |= clip.truncated;
                damaged |= clip.damaged;
                silent &= is_silent(&clip.samples);
                waiting.push(clip.samples);
            }
            if ended || waiting.len() == self.batch() {
                let batch: Vec<&[f32]> = waiting.iter().map(Vec::as_slice).collect();
                clips.extend(self.predict_clips(&batch)?);
                waiting.clear();
            }
            if ended {
                break;
            }
        }
        let clips = places.into_iter().zip(clips).collect();
        let prediction = Prediction::of_clips(&self.moods, clips, self.clip_seconds(), duration);
        Ok(Prediction { truncated, damaged, silent, ..prediction })
    }

    /// What the model says of each clip of [`Self::cut`]'s samples at
    /// [`Self::sample_rate`]. A clip's are the same whatever it is predicted with.
    ///
    /// # Errors
    /// A clip has another length; the device fails, or gives a probability that is not finite.
    pub fn predict_clips(&mut self, clips: &[&[f32]]) -> Result<Vec<Heard>> {
        let mut predicted = Vec::with_capacity(clips.len());
        let mut rest = clips;
        while let Some(place) = self.batches.iter().position(|&size| size <= rest.len()) {
            let (batch, others) = rest.split_at(self.batches[place]);
            match self.predict_batch(batch) {
                Err(error) if error.kind.asks_for_less() && batch.len() > 1 => {
                    self.batches = &self.batches[place + 1..];
                }
                probabilities => {
                    predicted.extend(probabilities?);
                    rest = others;
                }
            }
        }
        Ok(predicted)
    }

    /// As [`Self::predict_clips`], for as many clips as a plan was made for.
    fn predict_batch(&mut self, clips: &[&[f32]]) -> Result<Vec<Heard>> {
        let features = self.extractor.extract(clips)?;
        let batch = Batch::new(&features, Vec::new());
        let mut arrivals = Vec::with_capacity(self.sessions.len());
        let mut embedding = None;
        for (model, session) in self.sessions.iter_mut().enumerate() {
            arrivals.push(session.predict(batch.inputs())?);
            if self.embeds && model == 0 {
                embedding = Some(session.embedding_of(clips.len())?);
            }
        }
        let models = arrivals.len() as f32;
        let mut probabilities = vec![0.0; clips.len() * self.moods.len()];
        for arrival in arrivals {
            for (sum, probability) in probabilities.iter_mut().zip(arrival()?) {
                *sum += probability / models;
            }
        }
        let embedding = embedding.map_or(Ok(Vec::new()), |arrival| arrival())?;
        if !probabilities.iter().all(|probability| probability.is_finite()) {
            return Err(Error::failure(
                "the model gives a probability that is not finite: the checkpoint's weights or \
                 the device are broken (moodshader verify checks the device)",
            ));
        }
        let size = embedding.len() / clips.len();
        let heard = probabilities.chunks(self.moods.len()).enumerate().map(|(clip, own)| Heard {
            probabilities: own.to_vec(),
            embedding: embedding[clip * size..(clip + 1) * size].to_vec(),
        });
        Ok(heard.collect())
    }
}

/// What models that answer together say of themselves: the first one's description, with the means of all
/// thresholds.
///
/// # Errors
/// There is none, or they differ in more than weights.
pub fn together(checkpoints: &[Checkpoint]) -> Result<Description> {
    let descriptions: Vec<Description> =
        checkpoints.iter().map(Checkpoint::description).collect::<Result<_>>()?;
    let [first, others @ ..] = &*descriptions else {
        return Err(Error::input("there is no model to predict with"));
    };
    let recipe = FeatureRecipe::of(&first.preset);
    for other in others {
        if other.labels != first.labels {
            return Err(Error::input(format!(
                "models that answer together know the same moods in the same order: one knows {}, another \
                 {}",
                first.labels.join(", "),
                other.labels.join(", ")
            )));
        }
        if other.preset.model.output != first.preset.model.output {
            return Err(Error::input(
                "models that answer together have the same output: of one the probabilities of all moods \
                 add up to 1 (softmax), of another each mood has one of its own (sigmoid); moodshader \
                 info shows it",
            ));
        }
        if FeatureRecipe::of(&other.preset) != recipe {
            return Err(Error::input(
                "models that answer together hear the same features: their [audio] and [features] differ \
                 (moodshader info shows them)",
            ));
        }
    }
    let mean = |mood: usize| -> Option<f64> {
        let of = |description: &Description| description.thresholds.as_ref()?[mood];
        let thresholds: Vec<f64> = descriptions.iter().map(of).collect::<Option<_>>()?;
        Some(thresholds.iter().sum::<f64>() / thresholds.len() as f64)
    };
    let mut description = first.clone();
    if description.thresholds.is_some() && !others.is_empty() {
        description.thresholds = Some((0..first.labels.len()).map(mean).collect());
    }
    if !others.is_empty() {
        // How precise one model is says nothing of the mean.
        description.precisions = None;
    }
    Ok(description)
}

impl std::fmt::Debug for Tagger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tagger({:?})", self.moods)
    }
}
