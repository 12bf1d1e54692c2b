//! Presets: one TOML file says everything that a training run computes with, from the sample rate
//! to Adam's epsilon. The same file is kept in the checkpoint and used again at prediction.
//!
//! The structs mirror the file key by key, so `train.batch` in a file, in `--set train.batch=16`
//! and in Rust is one thing, and a key is said once: `keys!` takes its name, its type, its meaning as
//! `--help` and docs/presets.md show it, and the limit of its value. [`validate`] has the limits that hold
//! between keys, and [`shapes`] the sizes that follow.

#[macro_use]
mod keys;
mod shapes;
mod validate;

use std::f64::consts::PI;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::kernels::features::stft_power::N_FFT;
use crate::spelling::nearest_first;
use keys::{Key, Keyed, Node, dotted};
use validate::MAX_WIDTH;

/// Moods of a model at most.
pub const MOST_MOODS: usize = MAX_WIDTH;

pub(crate) use validate::validate_rolloff;
pub(super) use validate::{require, size};

/// The embedded presets, by name; the first line of each says what it is. `paper` comes first: the
/// others take from it what they leave out.
const EMBEDDED: [(&str, &str); 10] = [
    ("paper", include_str!("../../assets/presets/paper.toml")),
    ("paper-sigmoid", include_str!("../../assets/presets/paper-sigmoid.toml")),
    ("paper-averaged", include_str!("../../assets/presets/paper-averaged.toml")),
    ("paper-handcrafted", include_str!("../../assets/presets/paper-handcrafted.toml")),
    ("rnn-handcrafted", include_str!("../../assets/presets/rnn-handcrafted.toml")),
    ("cnn", include_str!("../../assets/presets/cnn.toml")),
    ("demo", include_str!("../../assets/presets/demo.toml")),
    ("musicnn", include_str!("../../assets/presets/musicnn.toml")),
    ("mtg-16k", include_str!("../../assets/presets/mtg-16k.toml")),
    ("mtg-12k", include_str!("../../assets/presets/mtg-12k.toml")),
];

/// Even at the longest transform, most of more bands would lie between two bins.
const MAX_MELS: usize = 4096;
const MAX_CLIP_SECONDS: f64 = 3600.0;
/// The most epochs that a preset may ask for.
pub const MAX_EPOCHS: u64 = 1_000_000;
const ABOVE_ZERO: &str = "must be above 0 and finite";

fn above_zero(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

/// What kernels, which compute in single precision, take for 0.
const VANISHES: &str = "must be at least 1.2e-38, which single precision tells from 0, and finite";

/// Below this, the root of a second moment that single precision can hold is larger than epsilon, and
/// where a gradient's square vanishes the step has no bound: √1.2e-38.
const SMALLEST_ROOT: f64 = 1.1e-19;

keys! {
    /// A whole preset. Reading one checks names and types; [`Preset::validate`] checks that it can
    /// work.
    Preset {
        /// Labels, in the order of the model's outputs.
        moods: Vec<String>,
        /// What a clip is.
        audio: Audio,
        /// The log-mel recipe (librosa's definitions).
        features: Features,
        /// The network.
        model: Model,
        /// Loss, optimiser and schedule.
        train: Train,
    }
}

keys! {
    /// `[audio]`
    Audio {
        /// Hz; every file is resampled to it.
        sample_rate: u32 where (1_000..=384_000).contains(sample_rate)
            => "must be between 1000 and 384000 Hz",
        /// Length of a clip in seconds.
        clip_seconds: f64 where *clip_seconds > 0.0 && *clip_seconds <= MAX_CLIP_SECONDS
            => format_args!("must be above 0 and at most {MAX_CLIP_SECONDS} s"),
        /// How many clips are heard of a recording, evenly spread; if not set, training hears the
        /// middle one and prediction all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        windows: Option<usize>,
    }
}

keys! {
    /// `[features]`
    Features {
        /// Window and transform length in samples, a power of two from 64 to 4096.
        n_fft: usize where n_fft.is_power_of_two() && N_FFT.contains(n_fft)
            => format_args!("must be a power of two from {} to {}", N_FFT.start(), N_FFT.end()),
        /// Samples from one frame to the next.
        hop: usize where (1..=*n_fft).contains(hop)
            => "must be at least 1 and at most n_fft: a longer one skips samples",
        /// Mel bands.
        mels: usize where (1..=MAX_MELS).contains(mels)
            => format_args!("must be between 1 and {MAX_MELS}"),
        /// Lower edge of the lowest band, Hz.
        fmin: f64 where *fmin >= 0.0 && (fmin < fmax || !above_zero(*fmax))
            => format_args!("must be at least 0 and below fmax = {fmax} Hz"),
        /// Upper edge of the highest band, Hz.
        fmax: f64 where above_zero(*fmax) => ABOVE_ZERO,
        /// How far below a clip's maximum its values may lie, dB; what is lower is raised.
        top_db: f64 where *top_db > 0.0 && top_db.is_finite() => "must be above 0 dB",
        /// "decibels", or "log10": log10(1 + 10000 · the power of a band), without `top_db`.
        #[serde(default)]
        scale: Scale,
        /// Frames at a clip's edges hear the samples beside it, not zeros: the frames of successive
        /// clips are those of the whole recording, and only whole clips count.
        #[serde(default)]
        context: bool,
    }
}

/// How the powers of mel bands are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// 10·log10 of them, clamped at `top_db` below the clip's maximum.
    #[default]
    Decibels,
    /// log10(1 + 10000 · power).
    Log10,
}

impl Copy for Audio {}
impl Copy for Features {}

keys! {
    /// `[model]`
    Model {
        /// Share of the head's inputs that training drops, at least 0 and below 1.
        dropout: f64 where (0.0..1.0).contains(dropout) => "must be at least 0 and below 1",
        /// "softmax": the moods share a probability of 1; "sigmoid": each has its own.
        output: Output,
        /// `[[model.branch]]`, in the order in which the head concatenates them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        branch: Vec<Branch>,
        /// `[model.rnn]`, in place of the branches: LSTMs on the log-mel frames themselves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rnn: Option<Rnn>,
        /// `[[model.front]]`, in place of the branches: banks of filters over the spectrogram, each
        /// followed by the maximum over frequency.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        front: Vec<Front>,
        /// `[model.middle]`: convolutions over time after the front.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        middle: Option<Middle>,
        /// `[model.back]`: dense layers between what was summarised over time and the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back: Option<Back>,
        /// `[model.handcrafted]`: an embedding of the hand-crafted features, concatenated last.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        handcrafted: Option<Handcrafted>,
    }
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

keys! {
    /// `[[model.branch]]`: blocks of convolution → ReLU → batch norm → max pool, then bidirectional
    /// LSTMs, or a summary over time.
    Branch {
        /// First part of the branch's tensor names.
        name: String,
        /// Frequency × time of every convolution, both odd.
        kernel: [usize; 2],
        /// Output channels of each block: convolution, ReLU, batch norm, max pool.
        channels: Vec<usize>,
        /// Frequency × time, after every block but the last.
        pool: [usize; 2],
        /// Units of each bidirectional LSTM in one direction, the last of which returns its final
        /// states only; `[]` with a summary.
        lstm: Vec<usize>,
        /// "mean_max", with `lstm = []`: means, then maxima over time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summary: Option<Summary>,
    }
}

/// How a branch without LSTMs ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summary {
    /// The means over time, then the maxima.
    MeanMax,
}

keys! {
    /// `[[model.front]]`: convolution, "same" over time and "valid" over frequency → ReLU → batch norm →
    /// maximum over frequency, as MusiCNN begins.
    Front {
        /// Frequency × time of the filters.
        kernel: [usize; 2],
        /// How many there are.
        channels: usize,
    }
}

keys! {
    /// `[model.middle]`: blocks of convolution over time → ReLU → batch norm; the first reads the front,
    /// each other one the sum so far, to which it is added. Means and maxima over time of the front and
    /// of every sum go on.
    Middle {
        /// Steps of every convolution, odd.
        kernel: usize,
        /// Channels of each, all equal.
        channels: Vec<usize>,
    }
}

keys! {
    /// `[model.back]`: batch norm → dropout → dense → ReLU → batch norm → …, before the last dropout.
    Back {
        /// Units of each dense layer; `[]` leaves the first batch norm.
        hidden: Vec<usize>,
    }
}

keys! {
    /// `[model.rnn]`
    Rnn {
        /// Units of LSTMs on the log-mel frames, in place of the branches.
        lstm: Vec<usize>,
    }
}

keys! {
    /// `[model.handcrafted]`
    Handcrafted {
        /// Units of dense layers with ReLU on mean and deviation of zero crossing rate, spectral
        /// centroid and rolloff; joined to the head's inputs.
        hidden: Vec<usize>,
        /// Share of a frame's magnitudes at or below the spectral rolloff; 0.85 if left out.
        #[serde(default = "Handcrafted::rolloff")]
        rolloff: f64,
    }
}

impl Handcrafted {
    /// librosa's default.
    fn rolloff() -> f64 {
        0.85
    }
}

keys! {
    /// `[train]`
    Train {
        /// Passes over the training clips.
        epochs: u64 where (1..=MAX_EPOCHS).contains(epochs)
            => format_args!("must be between 1 and {MAX_EPOCHS}"),
        /// Clips an update.
        batch: usize where (1..=MAX_WIDTH).contains(batch)
            => format_args!("must be between 1 and {MAX_WIDTH} clips"),
        /// Adam's step size at update 0.
        learning_rate: f64 where learning_rate.is_finite() && *learning_rate >= f64::from(f32::MIN_POSITIVE)
            => VANISHES,
        /// Factor of the learning rate over each decay period, smoothly.
        decay_rate: f64 where above_zero(*decay_rate) => ABOVE_ZERO,
        /// The decay period in epochs.
        decay_epochs: f64 where above_zero(*decay_epochs) => ABOVE_ZERO,
        /// The decay period in updates, in place of `decay_epochs`; with 1, "×0.3 every training
        /// step" taken literally, the rate is nothing after a dozen updates.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decay_updates: Option<u64>,
        /// Adam's decay rates of the first and second moment.
        betas: [f64; 2],
        /// Adam's epsilon, outside the square root.
        epsilon: f64 where *epsilon > 0.0 && (*epsilon as f32).is_normal() => VANISHES,
        /// How the rate falls: "exponential", by the keys above, or "cosine", to nothing at the last epoch.
        #[serde(default)]
        schedule: Schedule,
        /// Binary cross-entropy: "softmax_bce" on the softmax's outputs, "sigmoid_bce" from the
        /// logits of sigmoids; follows `model.output`.
        loss: Loss,
        /// "balanced": in training, a mood's positive term is multiplied with negatives ÷ positives
        /// of the training clips, as PyTorch's `pos_weight`; losses on validation clips are without.
        #[serde(default)]
        class_weights: ClassWeights,
        /// Moves targets from 0 and 1 towards 1/2: by half of this.
        #[serde(default)]
        label_smoothing: f64 where (0.0..1.0).contains(label_smoothing)
            => "must be at least 0 and below 1",
        /// Mixes each clip, and its targets, with another of the batch; shares are drawn from a beta
        /// distribution with this for both parameters, and the larger is the clip's own. 0: not at all.
        #[serde(default)]
        mixup: f64 where *mixup >= 0.0 && mixup.is_finite() => "must be at least 0 and finite",
        /// Hides neighbouring bands of each clip in training: up to this share of them.
        #[serde(default)]
        mask_bands: f64 where (0.0..=0.5).contains(mask_bands) => "must be between 0 and 0.5",
        /// Hides neighbouring steps likewise.
        #[serde(default)]
        mask_steps: f64 where (0.0..=0.5).contains(mask_steps) => "must be between 0 and 0.5",
        /// A new order for each epoch; false is the manifest's.
        shuffle: bool,
        /// "all" layers; "back", those after the summary over time; or "head", the last one. The others
        /// stay as `--init` has them, and what they make of a clip is computed once.
        #[serde(default)]
        trainable: Trainable,
        /// Share of every weight that an update takes away, times the learning rate (AdamW's).
        #[serde(default)]
        weight_decay: f64 where *weight_decay >= 0.0 && weight_decay.is_finite()
            => "must be at least 0 and finite",
        /// How many epochs a moving average of the weights, and of batch norm's statistics, looks back.
        /// Validation clips are then judged by the averages, and the model that is kept has them. If not
        /// set, or 0, it has the weights of the last update.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        average_epochs: Option<f64>,
        /// Epochs without a better validation score after which training ends; if not set, it never
        /// ends early.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        patience: Option<u64>,
    }
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

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// By a factor over each period.
    #[default]
    Exponential,
    /// Half a cosine, from `learning_rate` to 0 over all epochs.
    Cosine,
}

/// Which layers are trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trainable {
    /// The last one.
    Head,
    /// Those after the summary over time.
    Back,
    /// All.
    #[default]
    All,
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

    /// Whether the embedded preset of this name is one of the study's models, or of its kind.
    pub fn is_of_the_study(name: &str) -> bool {
        !["demo", "musicnn", "paper-averaged"].contains(&name)
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
    /// what stands in front of the head belongs together, so a text with a `[[model.branch]]`, a
    /// `[model.rnn]` or a `[[model.front]]` takes none of `paper`'s branches, and a branch takes
    /// nothing from another.
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
                model.as_table().is_some_and(|m| {
                    ["branch", "rnn", "front"].iter().any(|key| m.contains_key(*key))
                })
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

    /// The embedded presets, and every key with its meaning and `paper`'s value, for `--help`.
    pub fn help() -> String {
        let mut text = "Presets\n".to_owned();
        for (name, preset) in EMBEDDED {
            let about = preset.lines().next().unwrap_or_default().trim_start_matches("# ");
            text.push_str(&format!("  {name:<17}  {about}\n"));
        }
        text.push_str("\nKeys of a preset, for --set and --config (paper's value in brackets)\n");
        text + &keys::help()
            + "\nA preset file takes paper's value for every key that it leaves out, but a file with \
               a\n[[model.branch]], a [model.rnn] or a [[model.front]] takes none of paper's branches."
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
    /// What numbers that are not finite mean, and what to do about the likeliest cause.
    pub fn diverged(&self) -> String {
        let remedy = if self.epsilon < SMALLEST_ROOT {
            "a larger epsilon (--set train.epsilon=1e-8): where gradients are so small that their \
             squares vanish, it alone bounds the step"
        } else if self.decay_rate > 1.0 {
            "a decay rate of at most 1 (--set train.decay_rate=…): above, the learning rate grows"
        } else {
            "a lower learning rate (--set train.learning_rate=…)"
        };
        format!("training has diverged; the last checkpoint is from before; try {remedy}")
    }

    /// The learning rate of `update` (counted from 0): `learning_rate · decay_rate^(update / D)`
    /// with a real division and D = `decay_epochs · updates_per_epoch`, or `decay_updates` where
    /// that is set: Keras' `ExponentialDecay`. With `schedule = "cosine"`,
    /// `learning_rate · (1 + cos(π · update / updates of all epochs)) / 2`.
    pub fn learning_rate(&self, update: u64, updates_per_epoch: u64) -> f64 {
        if self.schedule == Schedule::Cosine {
            let all = (self.epochs * updates_per_epoch) as f64;
            return self.learning_rate * 0.5 * (1.0 + (PI * update as f64 / all).cos());
        }
        let period = match self.decay_updates {
            Some(updates) => updates as f64,
            None => self.decay_epochs * updates_per_epoch as f64,
        };
        self.learning_rate * self.decay_rate.powf(update as f64 / period)
    }

    /// The weight of the newest numbers in the moving averages after `update` (counted from 0):
    /// 1 / (`average_epochs` · `updates_per_epoch`), and more among the first, since the numbers that training
    /// began with say nothing: 1 − (1 + update) / (10 + update), as TensorFlow's `ExponentialMovingAverage`.
    pub fn averaging(&self, update: u64, updates_per_epoch: u64) -> f64 {
        let Some(epochs) = self.average_epochs else { return 1.0 };
        let steady = (epochs * updates_per_epoch as f64).recip();
        steady.max(9.0 / (10.0 + update as f64)).min(1.0)
    }
}
