//! Whether a preset can work, beyond the limits of single keys: each check names the key, the value and the reason.

use std::fmt::Display;

use super::keys::Keyed;
use super::{Branch, Loss, Output, Preset, Summary};
use crate::error::{Error, Result};
use crate::kernels::layers::conv;
use crate::kernels::layers::lstm::MAX_UNITS;
use crate::model::parameters::parameter_shapes;

/// Beyond any network that is trained on clips; keeps every product of sizes far from overflow.
pub(super) const MAX_WIDTH: usize = 1 << 14;
const MAX_KERNEL: usize = 255;
/// 1 GiB of f32, four times with gradients and Adam's moments.
const MAX_PARAMETERS: usize = 1 << 28;
/// First parts of tensor names that are taken.
const RESERVED: [&str; 4] = ["dense", "handcrafted", "rnn", "optimizer"];

impl Preset {
    /// Refuses a preset that cannot work.
    ///
    /// # Errors
    /// The first key that is wrong, with its value and the reason.
    pub fn validate(&self) -> Result<()> {
        self.check("")?;
        self.validate_moods()?;
        self.validate_features()?;
        self.validate_model()?;
        self.validate_train()
    }

    fn validate_moods(&self) -> Result<()> {
        require(!self.moods.is_empty(), "moods", "none", "a model needs a label to learn")?;
        for (place, mood) in self.moods.iter().enumerate() {
            require(
                !mood.is_empty() && mood.trim() == mood && !mood.contains(char::is_control),
                "moods",
                format_args!("{mood:?}"),
                "a mood is a word or two, with no blank at its ends",
            )?;
            require(mood != "macro", "moods", mood, "the name of the mean over moods in reports")?;
            require(!self.moods[..place].contains(mood), "moods", mood, "named twice")?;
        }
        require(
            self.moods.len() <= MAX_WIDTH,
            "moods",
            self.moods.len(),
            format_args!("at most {MAX_WIDTH}"),
        )?;
        require(
            self.moods.len() > 1 || self.model.output != Output::Softmax,
            "moods",
            &self.moods[0],
            "a softmax over one mood is always 1: give it another",
        )
    }

    fn validate_features(&self) -> Result<()> {
        let features = &self.features;
        require(
            self.clip_samples() >= features.n_fft,
            "audio.clip_seconds",
            self.audio.clip_seconds,
            format_args!(
                "the clip's {} samples are fewer than one frame of n_fft = {}",
                self.clip_samples(),
                features.n_fft
            ),
        )?;
        let nyquist = f64::from(self.audio.sample_rate) / 2.0;
        require(
            features.fmax <= nyquist,
            "features.fmax",
            features.fmax,
            format_args!("must be at most half of audio.sample_rate, {nyquist} Hz"),
        )
    }

    fn validate_model(&self) -> Result<()> {
        let model = &self.model;
        require(
            (0.0..1.0).contains(&model.dropout),
            "model.dropout",
            model.dropout,
            "must be at least 0 and below 1",
        )?;
        match (&model.rnn, model.branch.is_empty()) {
            (None, true) => {
                return Err(Error::input("model.branch: none; a model needs a [[model.branch]]"));
            }
            (Some(_), false) => {
                return Err(Error::input(
                    "model.rnn: stands in place of the branches, and there is a [[model.branch]]",
                ));
            }
            (Some(rnn), true) => lstms("model.rnn.lstm", &rnn.lstm)?,
            (None, false) => {}
        }
        for (place, branch) in model.branch.iter().enumerate() {
            let key = |name: &str| format!("model.branch.{place}.{name}");
            require(
                model.branch[..place].iter().all(|earlier| earlier.name != branch.name),
                &key("name"),
                &branch.name,
                "another branch has this name",
            )?;
            self.validate_branch(branch, key)?;
        }
        if let Some(handcrafted) = &model.handcrafted {
            sizes("model.handcrafted.hidden", &handcrafted.hidden)?;
            require(
                handcrafted.rolloff > 0.0 && handcrafted.rolloff < 1.0,
                "model.handcrafted.rolloff",
                handcrafted.rolloff,
                "must lie between 0 and 1",
            )?;
        }
        let parameters: usize =
            parameter_shapes(self).iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        require(
            parameters <= MAX_PARAMETERS,
            "model",
            format_args!("{parameters} parameters"),
            format_args!("at most {MAX_PARAMETERS}"),
        )?;
        require(
            self.train.loss == model.output.loss(),
            "train.loss",
            match self.train.loss {
                Loss::SoftmaxBce => "softmax_bce",
                Loss::SigmoidBce => "sigmoid_bce",
            },
            match model.output {
                Output::Softmax => r#"model.output = "softmax" goes with "softmax_bce""#,
                Output::Sigmoid => r#"model.output = "sigmoid" goes with "sigmoid_bce""#,
            },
        )
    }

    fn validate_branch(&self, branch: &Branch, key: impl Fn(&str) -> String) -> Result<()> {
        let name = &branch.name;
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        require(
            name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits),
            &key("name"),
            format_args!("{name:?}"),
            "tensor names begin with it: lower-case letters, digits and _, a letter first",
        )?;
        require(
            !RESERVED.contains(&name.as_str()),
            &key("name"),
            name,
            "other tensors have this name",
        )?;
        let [rows, columns] = branch.kernel;
        let odd = |side: usize| side % 2 == 1 && side <= MAX_KERNEL;
        require(
            odd(rows) && odd(columns),
            &key("kernel"),
            format_args!("[{rows}, {columns}]"),
            format_args!("both sides must be odd, to have a middle, and at most {MAX_KERNEL}"),
        )?;
        sizes(&key("channels"), &branch.channels)?;
        for &channels in &branch.channels {
            require(
                conv::weights_fit(channels as u32, [rows as u32, columns as u32]),
                &key("channels"),
                channels,
                format_args!(
                    "the weights of four filters of [{rows}, {columns}] must fit 64 KiB; use a \
                     smaller kernel or fewer channels"
                ),
            )?;
        }
        let pool = branch.pool;
        require(
            pool[0] > 0 && pool[1] > 0,
            &key("pool"),
            format_args!("[{}, {}]", pool[0], pool[1]),
            "both sides must be at least 1 (which leaves the size as it is)",
        )?;
        for (block, shape) in self.block_shapes(branch).iter().enumerate() {
            for (what, size, pooled, side) in [
                ("band", shape.bands, shape.pooled_bands, pool[0]),
                ("step", shape.steps, shape.pooled_steps, pool[1]),
            ] {
                require(
                    pooled > 0,
                    &key("pool"),
                    format_args!("[{}, {}]", pool[0], pool[1]),
                    format_args!(
                        "in {name}, the pool after block {block} (counted from 0) leaves no \
                         {what}: {size} / {side} is less than 1"
                    ),
                )?;
            }
        }
        match (branch.summary, branch.lstm.is_empty()) {
            (None, true) => Err(Error::input(format!(
                r#"{}: [] goes with summary = "mean_max": without either, nothing ends the branch"#,
                key("lstm")
            ))),
            (Some(Summary::MeanMax), false) => Err(Error::input(format!(
                "{}: goes with lstm = [], and there are LSTMs",
                key("summary")
            ))),
            (Some(Summary::MeanMax), true) => Ok(()),
            (None, false) => lstms(&key("lstm"), &branch.lstm),
        }
    }

    fn validate_train(&self) -> Result<()> {
        let train = &self.train;
        let most = u32::MAX as usize / self.largest_tensor().max(1);
        require(
            train.batch <= most,
            "train.batch",
            train.batch,
            format_args!("32 bits count a tensor's elements, which allows {most} of these clips"),
        )?;
        require(
            train.decay_updates != Some(0),
            "train.decay_updates",
            0,
            "must be at least 1; leave it out to use decay_epochs",
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

pub(super) fn require(
    holds: bool,
    key: &str,
    value: impl Display,
    reason: impl Display,
) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::input(format!("{key} = {value}: {reason}"))) }
}

fn size(key: &str, value: usize) -> Result<()> {
    require(
        (1..=MAX_WIDTH).contains(&value),
        key,
        value,
        format_args!("must be between 1 and {MAX_WIDTH}"),
    )
}

fn sizes(key: &str, values: &[usize]) -> Result<()> {
    require(!values.is_empty(), key, "[]", "needs at least one layer")?;
    values.iter().try_for_each(|&value| size(key, value))
}

fn lstms(key: &str, layers: &[usize]) -> Result<()> {
    sizes(key, layers)?;
    layers.iter().try_for_each(|&units| {
        require(
            units <= MAX_UNITS as usize,
            key,
            units,
            format_args!("this version's LSTMs have at most {MAX_UNITS} units"),
        )
    })
}
