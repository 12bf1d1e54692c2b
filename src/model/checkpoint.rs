//! Checkpoints: one safetensors file holds a model and all that using it takes.
//!
//! Tensors have PyTorch's names and layouts ([`crate::model::parameters`]); the metadata holds the
//! labels, the preset and the normalisation, so that prediction needs nothing else and cannot use a
//! wrong recipe. The same contents give the same bytes: no time, host or path is inside.

mod file;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::files::write_atomically;
use crate::kernels::features::HANDCRAFTED;
use crate::model::Graph;
use crate::model::parameters::{buffer_shapes, initialise, optimizer_shapes, parameter_shapes};
use crate::model::preset::Preset;

/// The `format` of the files that this version reads and writes.
pub const FORMAT: &str = "moodshader/1";

/// Weights are of the order of 1. Products of a few of these leave the range of f32.
const LARGEST_WEIGHT: f32 = 1e9;

/// A tensor of f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes of the dimensions, the slowest first.
    pub shape: Vec<usize>,
    /// Row-major.
    pub values: Vec<f32>,
}

/// What a checkpoint file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// By name.
    pub tensors: BTreeMap<String, Tensor>,
    /// As text; [`Checkpoint::description`] parses it.
    pub metadata: BTreeMap<String, String>,
}

/// What a training begins with.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Values of every tensor of the preset, by name.
    pub tensors: Vec<(String, Vec<f32>)>,
    /// The last layer is not the file's.
    pub afresh: bool,
    /// What the file's last layer is for, where it says.
    pub labels: Option<Vec<String>>,
    /// How its features are standardised, where it says.
    pub normalization: Option<Normalization>,
    /// The notice that goes with them.
    pub notice: Option<String>,
}

/// A checkpoint's metadata, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// What the model's outputs stand for, in their order: the preset's moods.
    pub labels: Vec<String>,
    /// Everything the model was trained with.
    pub preset: Preset,
    /// How features are standardised.
    pub normalization: Normalization,
    /// Updates done so far.
    pub update: u64,
    /// The sum of the losses of the clips trained on since the epoch began, in a checkpoint that
    /// training goes on from.
    pub epoch_loss: Option<f32>,
    /// Of everything that training drew; files of early versions do not say.
    pub seed: Option<u64>,
    /// Hash of the split that it was trained on.
    pub split: String,
    /// The program's version that wrote the file.
    pub version: String,
    /// The score from which on a clip counts as having the mood, by label; `None` for a mood that no
    /// validation clip had.
    pub thresholds: Option<Vec<Option<f64>>>,
    /// For each label how precise a decision is from which score on, on the validation clips:
    /// [`precision_steps`](crate::metrics::precision_steps). Files of early versions do not say.
    pub precisions: Option<Vec<Vec<(f64, f64)>>>,
    /// What the model was trained on, and what it reached.
    pub training: Option<Training>,
    /// Those of the labels that are moods, where the others are something else.
    pub moods: Option<Vec<String>>,
    /// What the model is and where it is from, in a line, where others have made it.
    pub source: Option<String>,
    /// The notice that goes with weights of others, and with what is made of them.
    pub notice: Option<String>,
}

/// A training in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Training {
    /// Clips that were trained on.
    pub clips: usize,
    /// Clips that have each mood, in the order of the labels.
    pub positives: Vec<usize>,
    /// Clips that were held back for validation.
    pub validation_clips: usize,
    /// The validation after the epoch at whose end the file was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// What a model reached on the validation clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Counted from 1.
    pub epoch: u64,
    /// Mean over the clips.
    pub loss: f64,
    /// Macro ROC-AUC, where a mood can be ranked.
    pub roc_auc: Option<f64>,
    /// Macro average precision, where a mood can be ranked.
    pub pr_auc: Option<f64>,
}

/// Standardisation: (dB − mean) / std, over all bands and frames of the training clips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Normalization {
    /// dB.
    pub mean: f64,
    /// Population standard deviation, dB.
    pub std: f64,
    /// Standardisation of the hand-crafted features, where the model reads them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handcrafted: Option<HandcraftedNormalization>,
}

/// Standardisation of each hand-crafted feature: (x − mean) / std over the training clips.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HandcraftedNormalization {
    /// In the features' units.
    pub mean: [f64; HANDCRAFTED],
    /// Population standard deviations; 1 where a feature never changed.
    pub std: [f64; HANDCRAFTED],
}

impl Checkpoint {
    /// A checkpoint of `description` with the given tensors: every trained tensor and buffer of the
    /// preset, and either all of the optimiser's state or none of it. PyTorch's second LSTM biases,
    /// all zero, are added.
    ///
    /// # Errors
    /// A tensor that is missing, not the preset's, or has the wrong number of values; a description
    /// that contradicts itself.
    pub fn new(
        description: &Description,
        tensors: impl IntoIterator<Item = (String, Vec<f32>)>,
    ) -> Result<Self> {
        let preset = &description.preset;
        let mut checkpoint = Self { tensors: BTreeMap::new(), metadata: description.to_text()? };
        let shapes: BTreeMap<_, _> = [parameter_shapes, buffer_shapes, optimizer_shapes]
            .iter()
            .flat_map(|shapes| shapes(preset))
            .collect();
        for (name, values) in tensors {
            let shape = shapes
                .get(&name)
                .ok_or_else(|| Error::failure(format!("the preset has no tensor `{name}`")))?;
            if let Some(second) = second_bias(&name) {
                let zeros = Tensor { shape: shape.clone(), values: vec![0.0; values.len()] };
                checkpoint.tensors.insert(second, zeros);
            }
            checkpoint.tensors.insert(name, Tensor { shape: shape.clone(), values });
        }
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// Reads a checkpoint and checks that it is whole: its format, its metadata, and every tensor
    /// that its preset needs. [`Checkpoint::description`] and [`Checkpoint::values`] of its own
    /// preset then succeed.
    ///
    /// # Errors
    /// What is wrong, with the file's name.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, &error))?;
        Self::from_bytes(&bytes).map_err(|error| error.context(path.display()))
    }

    /// As [`Self::read`], of a file's contents.
    ///
    /// # Errors
    /// What is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let checkpoint = file::decode(bytes)?;
        checkpoint.check()?;
        Ok(checkpoint)
    }

    /// Whether a file's contents call themselves a checkpoint, whole or not.
    pub fn is_meant(bytes: &[u8]) -> bool {
        file::decode(bytes).is_ok_and(|file| file.metadata.contains_key("format"))
    }

    /// Reads the weights for `preset` out of a checkpoint or of any safetensors file with the same
    /// names, such as one that PyTorch wrote. Metadata is not needed, and further tensors are passed
    /// over. Where the file's labels are not the preset's moods in its order, or its last layer has
    /// another shape, that layer begins afresh, drawn from `seed`.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn weights(bytes: &[u8], preset: &Preset, seed: u64) -> Result<Weights> {
        let checkpoint = file::decode(bytes)?;
        if checkpoint.metadata.contains_key("format") {
            checkpoint.check_format()?;
        }
        let labels: Option<Vec<String>> = match checkpoint.metadata.contains_key("labels") {
            true => Some(checkpoint.json("labels")?),
            false => None,
        };
        let last = format!("{}.", Graph::of(preset)?.last_dense());
        let shapes = [parameter_shapes(preset), buffer_shapes(preset)].concat();
        let (last, others): (Vec<_>, Vec<_>) =
            shapes.into_iter().partition(|(name, _)| name.starts_with(&last));
        let other_shape = |(name, shape): &(String, Vec<usize>)| {
            checkpoint.tensors.get(name).is_none_or(|tensor| tensor.shape != *shape)
        };
        let afresh = labels.as_ref().is_some_and(|labels| *labels != preset.moods)
            || last.iter().any(other_shape);
        let mut tensors = checkpoint.values(&others)?;
        match afresh {
            true => {
                let named = |name: &String| last.iter().any(|(known, _)| known == name);
                tensors
                    .extend(initialise(preset, seed).into_iter().filter(|(name, _)| named(name)));
            }
            false => tensors.extend(checkpoint.values(&last)?),
        }
        let normalization = match checkpoint.metadata.contains_key("normalization") {
            true => Some(checkpoint.json("normalization")?),
            false => None,
        };
        let notice = checkpoint.metadata.get("notice").cloned();
        Ok(Weights { tensors, afresh, labels, normalization, notice })
    }

    /// Writes the file beside its place and moves it there, so that no reader and no power cut ever
    /// meets half of it.
    ///
    /// # Errors
    /// A folder that does not exist or cannot be written; a tensor whose shape is not its length.
    pub fn write(&self, path: &Path) -> Result<()> {
        let bytes = self.to_bytes().map_err(|error| error.context(path.display()))?;
        write_atomically(path, &bytes)
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// A tensor whose shape is not its length.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        file::encode(self)
    }

    /// Copies of the tensors named in `shapes` ([`parameter_shapes`], [`buffer_shapes`],
    /// [`optimizer_shapes`]), in that order. An LSTM's bias is the sum of PyTorch's two.
    ///
    /// # Errors
    /// A tensor that is missing or has another shape.
    pub fn values(&self, shapes: &[(String, Vec<usize>)]) -> Result<Vec<(String, Vec<f32>)>> {
        shapes
            .iter()
            .map(|(name, shape)| {
                let mut values = self.tensor(name, shape)?.values.clone();
                if let Some(second) = second_bias(name)
                    && self.tensors.contains_key(&second)
                {
                    let second = &self.tensor(&second, shape)?.values;
                    for (value, other) in values.iter_mut().zip(second) {
                        // Adding a zero would still turn −0 into 0.
                        if *other != 0.0 {
                            *value += other;
                        }
                    }
                }
                Ok((name.clone(), values))
            })
            .collect()
    }

    /// Names what the model computes: the hash of all that is in the file.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for (key, value) in &self.metadata {
            hasher.update(key.as_bytes()).update(&[0]).update(value.as_bytes()).update(&[0]);
        }
        for (name, tensor) in &self.tensors {
            hasher.update(name.as_bytes()).update(bytemuck::cast_slice(&tensor.values));
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Whether training can go on from here: the optimiser's state is inside.
    pub fn has_optimizer(&self) -> bool {
        self.tensors.keys().any(|name| name.starts_with("optimizer."))
    }

    /// The metadata, parsed and checked.
    ///
    /// # Errors
    /// An entry that is missing or broken, or a preset that this version cannot run.
    pub fn description(&self) -> Result<Description> {
        self.check_format()?;
        let preset = Preset::from_toml(self.entry("preset")?, "its preset")?;
        let description = Description {
            labels: self.json("labels")?,
            preset,
            normalization: self.json("normalization")?,
            update: self.json("update")?,
            epoch_loss: match self.metadata.contains_key("epoch_loss") {
                true => Some(self.json("epoch_loss")?),
                false => None,
            },
            seed: match self.metadata.contains_key("seed") {
                true => Some(self.json("seed")?),
                false => None,
            },
            split: self.entry("split")?.clone(),
            version: self.entry("version")?.clone(),
            thresholds: match self.metadata.contains_key("thresholds") {
                true => Some(self.json("thresholds")?),
                false => None,
            },
            precisions: match self.metadata.contains_key("precisions") {
                true => Some(self.json("precisions")?),
                false => None,
            },
            training: match self.metadata.contains_key("training") {
                true => Some(self.json("training")?),
                false => None,
            },
            moods: match self.metadata.contains_key("moods") {
                true => Some(self.json("moods")?),
                false => None,
            },
            source: self.metadata.get("source").cloned(),
            notice: self.metadata.get("notice").cloned(),
        };
        description.check()?;
        Ok(description)
    }

    fn check(&self) -> Result<()> {
        let preset = self.description()?.preset;
        let mut needed = parameter_shapes(&preset);
        needed.extend(buffer_shapes(&preset));
        if self.has_optimizer() {
            needed.extend(optimizer_shapes(&preset));
        }
        needed.iter().try_for_each(|(name, shape)| {
            self.tensor(name, shape)?;
            match second_bias(name) {
                Some(second) if self.tensors.contains_key(&second) => {
                    self.tensor(&second, shape).map(|_| ())
                }
                _ => Ok(()),
            }
        })
    }

    fn check_format(&self) -> Result<()> {
        match self.metadata.get("format").map(String::as_str) {
            Some(FORMAT) => Ok(()),
            Some(other) => Err(Error::input(format!(
                "its format is `{other}`, and this version of moodshader reads `{FORMAT}`"
            ))),
            None => Err(Error::input("a safetensors file, but not a moodshader checkpoint")),
        }
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Tensor> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| Error::input(format!("tensor `{name}` is missing")))?;
        if tensor.shape != shape || tensor.values.len() != shape.iter().product::<usize>() {
            return Err(Error::input(format!(
                "tensor `{name}` has {} values in shape {:?}, and the model needs shape {shape:?}",
                tensor.values.len(),
                tensor.shape
            )));
        }
        // Shaders swallow NaN: max(0, NaN) is 0, and the moods would look like any others.
        if tensor.values.iter().any(|value| !value.is_finite()) {
            return Err(Error::input(format!(
                "tensor `{name}` holds a number that is not finite: the training that wrote it has \
                 diverged, or the file is damaged; use an earlier checkpoint"
            )));
        }
        // Finite, and yet what a layer makes of it is not.
        let is_weight = !name.starts_with("optimizer.") && !name.ends_with(".running_var");
        if is_weight && tensor.values.iter().any(|value| value.abs() > LARGEST_WEIGHT) {
            return Err(Error::input(format!(
                "tensor `{name}` holds a number beyond {LARGEST_WEIGHT:e}, which no training gives: \
                 the file is damaged; use an earlier checkpoint"
            )));
        }
        let is_square = name.ends_with(".running_var") || name.starts_with("optimizer.exp_avg_sq.");
        if is_square && tensor.values.iter().any(|&value| value < 0.0) {
            return Err(Error::input(format!(
                "tensor `{name}` holds a negative variance: the file is damaged"
            )));
        }
        Ok(tensor)
    }

    fn entry(&self, key: &str) -> Result<&String> {
        self.metadata.get(key).ok_or_else(|| Error::input(format!("the metadata has no `{key}`")))
    }

    fn json<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        serde_json::from_str(self.entry(key)?)
            .map_err(|error| Error::input(format!("the metadata's `{key}` is broken: {error}")))
    }
}

impl Description {
    /// Metadata of a model that has seen no data yet: update 0, mean 0 and deviation 1.
    pub fn untrained(preset: &Preset) -> Self {
        Self {
            labels: preset.moods.clone(),
            preset: preset.clone(),
            normalization: Normalization {
                mean: 0.0,
                std: 1.0,
                handcrafted: preset.model.handcrafted.as_ref().map(|_| HandcraftedNormalization {
                    mean: [0.0; HANDCRAFTED],
                    std: [1.0; HANDCRAFTED],
                }),
            },
            update: 0,
            epoch_loss: None,
            seed: None,
            split: String::new(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            thresholds: None,
            precisions: None,
            training: None,
            moods: None,
            source: None,
            notice: None,
        }
    }

    /// The score from which on a clip counts as having `mood`, where the checkpoint has one.
    pub fn threshold(&self, mood: &str) -> Option<f64> {
        let place = self.labels.iter().position(|label| label == mood)?;
        self.thresholds.as_ref()?[place]
    }

    /// Those of the labels that are moods: all, if nothing else is said.
    pub fn moods(&self) -> &[String] {
        self.moods.as_deref().unwrap_or(&self.labels)
    }

    /// The metadata of a checkpoint file.
    fn to_text(&self) -> Result<BTreeMap<String, String>> {
        self.check()?;
        let mut text = BTreeMap::from([
            ("format", FORMAT.to_string()),
            ("labels", json_text(&self.labels)?),
            ("preset", self.preset.to_toml()?),
            ("normalization", json_text(&self.normalization)?),
            ("update", self.update.to_string()),
            ("split", self.split.clone()),
            ("version", self.version.clone()),
        ]);
        if let Some(epoch_loss) = &self.epoch_loss {
            text.insert("epoch_loss", json_text(epoch_loss)?);
        }
        if let Some(seed) = self.seed {
            text.insert("seed", seed.to_string());
        }
        if let Some(thresholds) = &self.thresholds {
            text.insert("thresholds", json_text(thresholds)?);
        }
        if let Some(precisions) = &self.precisions {
            text.insert("precisions", json_text(precisions)?);
        }
        if let Some(training) = &self.training {
            text.insert("training", json_text(training)?);
        }
        if let Some(moods) = &self.moods {
            text.insert("moods", json_text(moods)?);
        }
        for (key, value) in [("source", &self.source), ("notice", &self.notice)] {
            text.extend(value.clone().map(|value| (key, value)));
        }
        Ok(text.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
    }

    fn check(&self) -> Result<()> {
        self.preset.validate().map_err(|error| error.context("its preset"))?;
        if self.labels != self.preset.moods {
            return Err(Error::input("the metadata's `labels` are not the preset's moods"));
        }
        if self.epoch_loss.is_some_and(|loss| !loss.is_finite()) {
            return Err(Error::input(
                "the metadata's `epoch_loss` is not finite: the training that wrote it has \
                 diverged, or the file is damaged",
            ));
        }
        let Normalization { mean, std, handcrafted } = self.normalization;
        if !standardises(mean, std) {
            return Err(Error::input(format!(
                "the normalization's mean {mean:e} and std {std:e} must be finite, and std above 0, so \
                 that no standardised number is beyond {LARGEST_WEIGHT:e}"
            )));
        }
        match (&self.preset.model.handcrafted, handcrafted) {
            (None, None) => {}
            (Some(_), Some(HandcraftedNormalization { mean, std }))
                if mean.iter().zip(std).all(|(&mean, std)| standardises(mean, std)) => {}
            (Some(_), None) => {
                return Err(Error::input(
                    "the model reads hand-crafted features, and the normalization has no \
                     `handcrafted`",
                ));
            }
            (None, Some(_)) => {
                return Err(Error::input(
                    "the normalization has `handcrafted`, and the model reads no such features",
                ));
            }
            (Some(_), Some(_)) => {
                return Err(Error::input(
                    "the normalization's `handcrafted` must be finite, and each std above 0",
                ));
            }
        }
        if self.moods().is_empty() || !self.moods().iter().all(|mood| self.labels.contains(mood)) {
            return Err(Error::input("the metadata's `moods` are not some of its labels"));
        }
        if let Some(thresholds) = &self.thresholds
            && (thresholds.len() != self.labels.len()
                || thresholds.iter().flatten().any(|threshold| !threshold.is_finite()))
        {
            return Err(Error::input("the metadata's `thresholds` are not one number per label"));
        }
        let finite = |&(threshold, precision): &(f64, f64)| {
            threshold.is_finite() && (0.0..=1.0).contains(&precision)
        };
        if let Some(precisions) = &self.precisions
            && (precisions.len() != self.labels.len() || !precisions.iter().flatten().all(finite))
        {
            return Err(Error::input(
                "the metadata's `precisions` are not thresholds of each label",
            ));
        }
        Ok(())
    }
}

/// Whether kernels can compute (x − mean) / std, which they do in f32.
fn standardises(mean: f64, std: f64) -> bool {
    let most = f64::from(LARGEST_WEIGHT);
    // Of numbers that are of the order of 1, as decibels and hand-crafted features are, or above.
    std > 0.0 && std < f64::from(f32::MAX) && std.recip() <= most && (mean / std).abs() <= most
}

fn json_text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::failure(error.to_string()))
}

/// The name of the bias that PyTorch adds to the trained one `name`, if that is an LSTM's.
fn second_bias(name: &str) -> Option<String> {
    let trained = !name.starts_with("optimizer.") && name.contains(".bias_ih_l0");
    trained.then(|| name.replace(".bias_ih_l0", ".bias_hh_l0"))
}
