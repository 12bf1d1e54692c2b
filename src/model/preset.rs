//! Presets: one TOML file says everything that a training run computes with, from the sample rate
//! to Adam's epsilon. The same file is kept in the checkpoint and used again at prediction.
//!
//! The structs mirror the file key by key, so `train.batch` in a file, in `--set train.batch=16`
//! and in Rust is one thing. [`keys`] knows the names, [`validate`] the limits, and [`shapes`] the
//! sizes that follow.

mod keys;
mod shapes;
mod validate;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::spelling::nearest_first;

pub use shapes::{BlockShape, SequenceShape};
pub(crate) use validate::validate_rolloff;

/// The embedded presets, by name. `paper` comes first: the others take from it what they leave out.
const EMBEDDED: [(&str, &str); 8] = [
    ("paper", include_str!("../../assets/presets/paper.toml")),
    ("paper-sigmoid", include_str!("../../assets/presets/paper-sigmoid.toml")),
    ("paper-handcrafted", include_str!("../../assets/presets/paper-handcrafted.toml")),
    ("rnn-handcrafted", include_str!("../../assets/presets/rnn-handcrafted.toml")),
    ("cnn", include_str!("../../assets/presets/cnn.toml")),
    ("demo", include_str!("../../assets/presets/demo.toml")),
    ("mtg-16k", include_str!("../../assets/presets/mtg-16k.toml")),
    ("mtg-12k", include_str!("../../assets/presets/mtg-12k.toml")),
];

/// A whole preset. Reading one checks names and types; [`Preset::validate`] checks that it can work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preset {
    /// The labels, in the order of the model's outputs.
    pub moods: Vec<String>,
    /// What a clip is.
    pub audio: Audio,
    /// The log-mel recipe (librosa's definitions).
    pub features: Features,
    /// The network.
    pub model: Model,
    /// Loss, optimiser and schedule.
    pub train: Train,
}

/// `[audio]`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audio {
    /// Hz; every file is resampled to it.
    pub sample_rate: u32,
    /// Length of one clip in seconds.
    pub clip_seconds: f64,
}

/// `[features]`
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Features {
    /// Window and transform length in samples, a power of two.
    pub n_fft: usize,
    /// Samples from one frame to the next.
    pub hop: usize,
    /// Mel bands.
    pub mels: usize,
    /// Lower edge of the lowest band, Hz.
    pub fmin: f64,
    /// Upper edge of the highest band, Hz.
    pub fmax: f64,
    /// How far below a clip's maximum its values may lie, dB.
    pub top_db: f64,
}

/// `[model]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Share of the head's inputs that training drops, in [0, 1).
    pub dropout: f64,
    /// What turns logits into probabilities.
    pub output: Output,
    /// `[[model.branch]]`, in the order in which the head concatenates them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<Branch>,
    /// `[model.rnn]`, in place of the branches: LSTMs on the log-mel frames themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rnn: Option<Rnn>,
    /// `[model.handcrafted]`: an embedding of the hand-crafted features, concatenated last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handcrafted: Option<Handcrafted>,
}

/// What turns logits into probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// The moods share a probability of 1.
    Softmax,
    /// Each mood has a probability of its own.
    Sigmoid,
}

/// `[[model.branch]]`: blocks of convolution → ReLU → batch norm → max pool, then bidirectional
/// LSTMs, or a summary over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Branch {
    /// First part of the branch's tensor names.
    pub name: String,
    /// Frequency × time, both odd.
    pub kernel: [usize; 2],
    /// Output channels of each block.
    pub channels: Vec<usize>,
    /// Frequency × time, after every block but the last.
    pub pool: [usize; 2],
    /// Units of each LSTM in one direction; the last returns its final states only.
    pub lstm: Vec<usize>,
    /// Takes the LSTMs' place where `lstm = []`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// How a branch without LSTMs ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summary {
    /// The means over time, then the maxima.
    MeanMax,
}

/// `[model.rnn]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rnn {
    /// As [`Branch::lstm`].
    pub lstm: Vec<usize>,
}

/// `[model.handcrafted]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handcrafted {
    /// Units of the dense layers with ReLU.
    pub hidden: Vec<usize>,
    /// Share of a frame's magnitudes at or below the spectral rolloff.
    #[serde(default = "Handcrafted::rolloff")]
    pub rolloff: f64,
}

impl Handcrafted {
    /// librosa's default.
    fn rolloff() -> f64 {
        0.85
    }
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Train {
    /// Passes over the training clips.
    pub epochs: u64,
    /// Clips an update.
    pub batch: usize,
    /// Adam's step size at update 0.
    pub learning_rate: f64,
    /// What the learning rate is multiplied with, smoothly, over each decay period.
    pub decay_rate: f64,
    /// The decay period in epochs.
    pub decay_epochs: f64,
    /// The decay period in updates; where set, `decay_epochs` is not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay_updates: Option<u64>,
    /// Adam's decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Adam's epsilon, outside the square root.
    pub epsilon: f64,
    /// Goes with [`Model::output`], and follows it where a text or a `--set` names only the output.
    pub loss: Loss,
    /// Weights of the moods' positive terms in training.
    #[serde(default)]
    pub class_weights: ClassWeights,
    /// Whether each epoch has an order of its own; if not, the manifest's.
    pub shuffle: bool,
}

/// Binary cross-entropy against multi-hot targets, mean over batch × labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// On the softmax's probabilities.
    SoftmaxBce,
    /// On the logits of sigmoids.
    SigmoidBce,
}

/// What the positive term of each mood's cross-entropy is multiplied with in training; losses on
/// validation clips are without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassWeights {
    /// All 1.
    #[default]
    None,
    /// Clips without the mood ÷ clips with it, over the training clips: both weigh the same then.
    Balanced,
}

impl Output {
    /// The loss that goes with it.
    pub fn loss(self) -> Loss {
        match self {
            Self::Softmax => Loss::SoftmaxBce,
            Self::Sigmoid => Loss::SigmoidBce,
        }
    }
}

impl Preset {
    /// The names that [`Preset::named`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        EMBEDDED.iter().map(|(name, _)| *name)
    }

    /// An embedded preset.
    ///
    /// # Errors
    /// An unknown name; the message lists the known ones, the nearest first.
    pub fn named(name: &str) -> Result<Self> {
        match EMBEDDED.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::from_toml(text, &format!("preset {name}")),
            None => Err(Error::input(format!(
                "there is no preset `{name}`; there are {} (a file of your own goes with --config)",
                nearest_first(name, Self::names()).join(", ")
            ))),
        }
    }

    /// Reads a preset file; see [`Preset::from_toml`].
    ///
    /// # Errors
    /// As [`Preset::from_toml`], and where the file cannot be read.
    pub fn from_file(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => {
                Error::input(format!("{} is not UTF-8 text", path.display()))
            }
            _ => Error::io("read", path, &error),
        })?;
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Parses a preset. A key that the text leaves out takes `paper`'s value, with one exception:
    /// what stands in front of the head belongs together, so a text with a `[[model.branch]]` or a
    /// `[model.rnn]` takes none of `paper`'s branches, and a branch takes nothing from another.
    ///
    /// `origin` (a file's name) starts every error message.
    ///
    /// # Errors
    /// Text that is not TOML, an unknown key, a value of the wrong type. Values that cannot work
    /// are found by [`Preset::validate`], since a later [`Preset::set`] may still mend them.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self> {
        let parse = || {
            let given = keys::parse(text)?;
            let mut resolved = keys::parse(EMBEDDED[0].1)?;
            let stands_before_the_head = |model: &toml::Value| {
                model.as_table().is_some_and(|m| m.contains_key("branch") || m.contains_key("rnn"))
            };
            if given.get("model").is_some_and(stands_before_the_head)
                && let Some(toml::Value::Table(model)) = resolved.get_mut("model")
            {
                model.remove("branch");
            }
            let names_the_loss =
                given.get("train").is_some_and(|train| train.get("loss").is_some());
            keys::merge(&mut resolved, given);
            let mut preset = keys::resolve(resolved)?;
            if !names_the_loss {
                preset.train.loss = preset.model.output.loss();
            }
            Ok(preset)
        };
        parse().map_err(|error: Error| error.context(origin))
    }

    /// Sets one value, as `--set key=value` does. `key` is dotted, a branch is addressed by its
    /// place (`model.branch.0.lstm`); `value` is TOML, or a word, which is taken as a string.
    /// `model.output` takes `train.loss` along.
    ///
    /// # Errors
    /// An unknown key (the message names the nearest) or a value of the wrong type; the preset is
    /// then unchanged.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let value = value.trim().parse().unwrap_or_else(|_| toml::Value::String(value.to_string()));
        let mut table = keys::table_of(self)?;
        keys::set(&mut table, key, value)?;
        let mut preset = keys::resolve(table)?;
        if preset.model.output != self.model.output {
            preset.train.loss = preset.model.output.loss();
        }
        *self = preset;
        Ok(())
    }

    /// The whole preset as TOML, in a fixed order, with no value left to a default. Parsing it
    /// gives an equal preset.
    ///
    /// # Errors
    /// An integer beyond TOML's 63 bits.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::input(format!("the preset cannot be written as TOML: {error}")))
    }
}

impl Train {
    /// The learning rate of `update` (counted from 0): `learning_rate · decay_rate^(update / D)`
    /// with a real division and D = `decay_epochs · updates_per_epoch`, or `decay_updates` where
    /// that is set: Keras' `ExponentialDecay`.
    pub fn learning_rate(&self, update: u64, updates_per_epoch: u64) -> f64 {
        let period = match self.decay_updates {
            Some(updates) => updates as f64,
            None => self.decay_epochs * updates_per_epoch as f64,
        };
        self.learning_rate * self.decay_rate.powf(update as f64 / period)
    }
}
