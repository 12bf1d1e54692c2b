//! Whether a preset can work, beyond the limits of single keys and of the model's layers: each check
//! names the key, the value and the reason.

use std::collections::HashSet;
use std::fmt::Display;

use super::keys::Keyed;
use super::{Audio, Features, MOST_MOODS, Output, Preset, Trainable};
use crate::error::{Error, Result};
use crate::model::graph::Graph;
use crate::spelling::short_numbers;

/// Beyond any network that is trained on clips; keeps every product of sizes far from overflow.
pub(super) const MAX_WIDTH: usize = 1 << 14;

impl Preset {
    /// Refuses a preset that cannot work.
    ///
    /// # Errors
    /// The first key that is wrong, with its value and the reason.
    pub fn validate(&self) -> Result<()> {
        self.check("")?;
        self.validate_moods()?;
        self.features.validate(&self.audio)?;
        require(
            !self.features.context || self.model.handcrafted.is_none(),
            "features.context",
            true,
            "goes without [model.handcrafted], whose frames end with the clip",
        )?;
        let windows = self.audio.windows.unwrap_or(1);
        require(
            windows == 1 || self.model.handcrafted.is_none(),
            "audio.windows",
            windows,
            "goes without [model.handcrafted], whose numbers are kept of one window of a track",
        )?;
        self.validate_train(&Graph::of(self)?)
    }

    fn validate_moods(&self) -> Result<()> {
        require(!self.moods.is_empty(), "moods", "none", "a model needs a label to learn")?;
        require(
            self.moods.len() <= MOST_MOODS,
            "moods",
            self.moods.len(),
            format_args!("at most {MOST_MOODS}"),
        )?;
        let mut named = HashSet::new();
        for mood in &self.moods {
            require(
                !mood.is_empty() && mood.trim() == mood && !mood.contains(char::is_control),
                "moods",
                format_args!("{mood:?}"),
                "a mood is a word or two, with no blank at its ends",
            )?;
            require(mood != "macro", "moods", mood, "the name of the mean over moods in reports")?;
            require(named.insert(mood), "moods", mood, "named twice")?;
        }
        require(
            self.moods.len() > 1 || self.model.output != Output::Softmax,
            "moods",
            &self.moods[0],
            "a softmax over one mood is always 1: give it another",
        )
    }

    fn validate_train(&self, graph: &Graph) -> Result<()> {
        let train = &self.train;
        let most = u32::MAX as usize / graph.largest().max(1);
        require(
            train.batch <= most,
            "train.batch",
            train.batch,
            format_args!("32 bits count a tensor's elements, which allows {most} of these clips"),
        )?;
        require(
            train.batch > 1 || self.model.back.is_none(),
            "train.batch",
            1,
            "the batch norm of [model.back] learns from how clips differ: at least 2",
        )?;
        require(
            train.decay_updates != Some(0),
            "train.decay_updates",
            0,
            "must be at least 1; leave it out to use decay_epochs",
        )?;
        if let Some(epochs) = train.average_epochs {
            require(
                epochs >= 0.0 && epochs.is_finite(),
                "train.average_epochs",
                epochs,
                "must be at least 0 and finite",
            )?;
        }
        require(
            train.patience != Some(0),
            "train.patience",
            0,
            "must be at least 1; leave it out to train to the last epoch",
        )?;
        require(
            train.trainable == Trainable::All || self.model.handcrafted.is_none(),
            "train.trainable",
            "head or back",
            "goes without [model.handcrafted]: all of it is trained",
        )?;
        require(
            !train.augments()
                || (train.trainable == Trainable::All && self.model.handcrafted.is_none()),
            "train.mixup, train.mask_bands or train.mask_steps",
            "set",
            "clips are changed as spectrograms, so they go with train.trainable = \"all\" and without \
             [model.handcrafted]",
        )?;
        for beta in train.betas {
            require(
                (0.0..1.0).contains(&beta),
                "train.betas",
                beta,
                "must be at least 0 and below 1",
            )?;
        }
        Ok(())
    }
}

impl Audio {
    /// Refuses a clip that no model can hear.
    ///
    /// # Errors
    /// As [`Preset::validate`].
    pub fn validate(&self) -> Result<()> {
        self.check("audio")?;
        let windows = self.windows.unwrap_or(1);
        require(
            (1..=MAX_WINDOWS).contains(&windows),
            "audio.windows",
            windows,
            format_args!("must be between 1 and {MAX_WINDOWS}; leave it out to hear all"),
        )
    }
}

/// Clips of a recording that a model may be asked to hear.
const MAX_WINDOWS: usize = 10_000;

impl Features {
    /// Refuses a recipe that makes no spectrogram of such a clip.
    ///
    /// # Errors
    /// As [`Preset::validate`].
    pub fn validate(&self, audio: &Audio) -> Result<()> {
        self.check("features")?;
        let samples = audio.clip_samples();
        require(
            samples >= self.n_fft,
            "audio.clip_seconds",
            audio.clip_seconds,
            format_args!(
                "the clip's {samples} samples are fewer than one frame of n_fft = {}",
                self.n_fft
            ),
        )?;
        let whole = samples.next_multiple_of(self.hop) as f64 / f64::from(audio.sample_rate);
        require(
            !self.context || samples.is_multiple_of(self.hop),
            "audio.clip_seconds",
            audio.clip_seconds,
            format_args!(
                "with features.context a clip is a whole number of hops, as {whole} s would be"
            ),
        )?;
        let nyquist = f64::from(audio.sample_rate) / 2.0;
        require(
            self.fmax <= nyquist,
            "features.fmax",
            self.fmax,
            format_args!("must be at most half of audio.sample_rate, {nyquist} Hz"),
        )?;
        let bin = f64::from(audio.sample_rate) / self.n_fft as f64;
        require(
            ((self.fmin / bin).floor() + 1.0) * bin < self.fmax,
            "features.fmax",
            self.fmax,
            format_args!(
                "no bin of the transform lies between fmin = {} Hz and it; bins are {bin} Hz apart",
                self.fmin
            ),
        )
    }
}

/// Refuses a share of magnitudes that no rolloff has.
///
/// # Errors
/// As [`Preset::validate`].
pub(crate) fn validate_rolloff(share: f64) -> Result<()> {
    require(
        share > 0.0 && share < 1.0,
        "model.handcrafted.rolloff",
        share,
        "must lie between 0 and 1",
    )
}

/// Refuses `key = value` for a reason, unless it holds.
pub fn require(holds: bool, key: &str, value: impl Display, reason: impl Display) -> Result<()> {
    match holds {
        true => Ok(()),
        false => Err(Error::input(short_numbers(&format!("{key} = {value}: {reason}")))),
    }
}

/// Refuses a size that is zero or beyond any network.
pub fn size(key: &str, value: usize) -> Result<()> {
    require(
        (1..=MAX_WIDTH).contains(&value),
        key,
        value,
        format_args!("must be between 1 and {MAX_WIDTH}"),
    )
}
