//! The state that a run starts from, goes on with and saves.

use super::run::Run;
use crate::model::checkpoint::{
    Checkpoint, Description, Normalization, Training, Validation, Weights,
};
use crate::model::parameters::{initialise, initialise_buffers, optimizer_storages, shapes};
use crate::model::preset::{Preset, Trainable};
use crate::model::{self, Network, builtin};
use crate::ranks::Ranks;
use crate::run::{
    Config, EpochMetrics, RunFolder, damaged, differences, track_changes, write_tracks,
};
use crate::{Error, Result};

/// What a run begins or goes on with: of several ranks, what rank 0 has read.
pub(super) struct Beginning {
    /// The whole model; with the optimiser's state where the run goes on.
    pub(super) model: Checkpoint,
    /// Whether the model is what the run has left.
    goes_on: bool,
    /// What the run has left of its epochs.
    metrics: Vec<EpochMetrics>,
}

impl Beginning {
    pub(super) fn of(config: &Config, folder: &RunFolder) -> Result<Self> {
        let ranks = Ranks::this();
        if !ranks.is_first() {
            let (goes_on, metrics) = ranks.hand_out(None)?;
            let model = Checkpoint::from_bytes(&ranks.hand_out_bytes(Vec::new())?)?;
            return Ok(Self { model, goes_on, metrics });
        }
        let goes_on = folder.last().exists();
        if !goes_on && folder.has_results() {
            let missing = Error::input(format!(
                "{} is missing, and an epoch of the run has ended: restore the file",
                folder.last().display()
            ));
            return Err(damaged(missing));
        }
        let (model, metrics) = match goes_on {
            true => (folder.read_last()?, folder.read_metrics()?),
            false => (initial_model(config)?, Vec::new()),
        };
        let (goes_on, metrics) = ranks.hand_out(Some((goes_on, metrics)))?;
        if ranks.has_others() {
            ranks.hand_out_bytes(model.to_bytes()?)?;
        }
        Ok(Self { model, goes_on, metrics })
    }

    /// How features were standardised in what the run goes on with.
    pub(super) fn kept_normalization(&self) -> Result<Option<Normalization>> {
        Ok(if self.goes_on { Some(self.model.description()?.normalization) } else { None })
    }
}

/// The whole model that a run begins with.
fn initial_model(config: &Config) -> Result<Checkpoint> {
    let weights = initial_weights(config)?;
    let untrained = Description::untrained(&config.preset);
    let description = Description {
        normalization: match weights.normalization {
            Some(normalization) if goes_along(&config.preset) => normalization,
            _ => untrained.normalization,
        },
        notice: weights.notice,
        ..untrained
    };
    Checkpoint::new(&description, weights.tensors)
}

/// What a checkpoint is written for.
pub(super) enum Purpose {
    /// `last.safetensors`: training goes on from it.
    GoOn,
    /// `best.safetensors`: it predicts.
    Use(Verdict),
}

/// What the validation clips said of a model.
pub(super) struct Verdict {
    pub(super) thresholds: Vec<Option<f64>>,
    pub(super) precisions: Vec<Vec<(f64, f64)>>,
    pub(super) validation: Validation,
}

impl Run {
    /// The state to start from: the run's last checkpoint, or what it begins with.
    pub(super) fn load(&mut self, begin: &Beginning) -> Result<()> {
        if begin.goes_on {
            let last = self.folder.last();
            let description = begin.model.description()?;
            if self.ranks.is_first() {
                self.check_same(&description)?;
            }
            let in_file = |error: Error| damaged(error.context(last.display()));
            self.session.put(&begin.model).map_err(in_file)?;
            self.session.put_optimizer(&begin.model).map_err(in_file)?;
            self.session.set_epoch_loss(description.epoch_loss.unwrap_or(0.0))?;
            self.update = description.update;
            // An epoch whose line was written but whose state was not runs again.
            self.metrics.clone_from(&begin.metrics);
            self.metrics.retain(|line| line.update <= self.update);
            return self.check_metrics();
        }
        self.session.put(&begin.model)?;
        if self.ranks.is_first() {
            write_tracks(&self.folder.tracks(), &self.config.preset.moods, self.clips.parts())?;
        }
        self.save_last()
    }

    /// Every epoch before the state's has its line; that of an epoch which has just ended may come.
    fn check_metrics(&self) -> Result<()> {
        let per_epoch = self.updates_per_epoch();
        let ended = self.update / per_epoch;
        let just_ended = self.update > 0 && self.update.is_multiple_of(per_epoch);
        let lines = self.metrics.len() as u64;
        if lines == ended || (just_ended && lines + 1 == ended) {
            return Ok(());
        }
        Err(Error::input(format!(
            "metrics.jsonl in {} has the lines of {lines} epochs, and last.safetensors is from \
             after epoch {ended}; restore the file, or start a new run with --init",
            self.folder.path().display()
        )))
    }

    /// Refuses to go on with other data than before, since the result would be neither run.
    fn check_same(&self, description: &Description) -> Result<()> {
        check_same_config(&self.folder, description, &self.config)?;
        let last = self.folder.last();
        let last = last.display();
        let list = self.folder.tracks();
        // Runs of early versions have no list; the hash knows the tracks, but not their order.
        if list.exists() {
            let changes = track_changes(&list, &self.config.preset.moods, self.clips.parts())?;
            if !changes.is_empty() {
                let unreadable = match self.clips.broken.len() {
                    0 => "",
                    _ => " (audio files that cannot be read count as gone)",
                };
                return Err(Error::input(format!(
                    "the tracks have changed since {} was written: {}{unreadable}; restore the \
                     manifests and the audio, or start a new run with --init {last}",
                    list.display(),
                    changes.join("; ")
                )));
            }
        }
        if description.split != self.clips.split {
            return Err(Error::input(format!(
                "the training or validation tracks have changed since {last} was written, or other \
                 audio files are broken; restore them, or start a new run with --init {last}"
            )));
        }
        let (then, now) = (&description.normalization, &self.clips.normalization);
        if then != now {
            return Err(Error::input(format!(
                "the training audio, or the order of its tracks, has changed since {last} was \
                 written ({}); restore the files, or start a new run with --init {last}",
                differences(then, now, "normalization")?.join("; ")
            )));
        }
        Ok(())
    }

    /// The model as it is: to go on from with the optimiser's state, or to use with what the
    /// validation said.
    ///
    /// # Errors
    /// A number is not finite: such a state is never saved.
    pub(super) fn checkpoint(&mut self, purpose: Purpose) -> Result<Checkpoint> {
        let resumable = matches!(purpose, Purpose::GoOn);
        let epoch_loss = if resumable { Some(self.session.epoch_loss()?) } else { None };
        let model = self.session.network().model_of(match resumable {
            true => model::Purpose::Training,
            false => model::Purpose::Inference,
        });
        let mut tensors = Vec::new();
        for storage in model {
            tensors.extend(self.session.download(storage)?);
        }
        tensors.extend(self.frozen.iter().cloned());
        if resumable {
            for &(storage, prefix) in optimizer_storages(&self.config.preset) {
                let state = self.session.download(storage)?;
                tensors.extend(
                    state.into_iter().map(|(name, values)| (format!("{prefix}{name}"), values)),
                );
            }
        }
        let lost = match epoch_loss.is_some_and(|loss| !loss.is_finite()) {
            true => Some("the training loss"),
            false => not_finite(&tensors),
        };
        if let Some(what) = lost {
            return Err(Error::failure(format!(
                "{what} is not finite after update {}: {}",
                self.update,
                self.config.preset.train.diverged()
            )));
        }
        let verdict = match purpose {
            Purpose::GoOn => None,
            Purpose::Use(verdict) => Some(verdict),
        };
        let train = &self.clips.train;
        let positives = |mood: usize| train.iter().filter(|clip| clip.track.targets[mood]).count();
        let training = Training {
            clips: train.len(),
            positives: (0..self.config.preset.moods.len()).map(positives).collect(),
            validation_clips: self.clips.validation.len(),
            validation: verdict.as_ref().map(|verdict| verdict.validation.clone()),
        };
        let description = Description {
            labels: self.config.preset.moods.clone(),
            preset: self.config.preset.clone(),
            normalization: self.clips.normalization,
            update: self.update,
            epoch_loss,
            seed: Some(self.config.seed),
            split: self.clips.split.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            thresholds: verdict.as_ref().map(|verdict| verdict.thresholds.clone()),
            precisions: verdict.map(|verdict| verdict.precisions),
            training: Some(training),
            moods: None,
            source: None,
            notice: self.notice.clone(),
        };
        Checkpoint::new(&description, tensors)
    }

    pub(super) fn save_last(&mut self) -> Result<()> {
        self.session.check()?;
        let checkpoint = self.checkpoint(Purpose::GoOn)?;
        if self.ranks.has_others() {
            self.check_same_weights(&checkpoint)?;
        }
        match self.ranks.is_first() {
            true => checkpoint.write(&self.folder.last()),
            false => Ok(()),
        }
    }
}

/// Refuses a configuration that is not the one that a run was trained with.
pub(super) fn check_same_config(
    folder: &RunFolder,
    state: &Description,
    config: &Config,
) -> Result<()> {
    // These may have been raised since.
    let mut then = state.preset.clone();
    then.train.epochs = config.preset.train.epochs;
    if then.train.patience.is_some() && config.preset.train.patience.is_some() {
        then.train.patience = config.preset.train.patience;
    }
    let mut differing = differences(&then, &config.preset, "preset")?;
    if let Some(seed) = state.seed.filter(|&seed| seed != config.seed) {
        differing.push(format!("seed: {seed} then, {} now", config.seed));
    }
    match differing.is_empty() {
        true => Ok(()),
        false => Err(Error::input(format!(
            "{} was trained with another configuration than {} says ({}); restore \
             config.toml, or start a new run",
            folder.last().display(),
            folder.config().display(),
            differing.join("; ")
        ))),
    }
}

/// What a run begins with: weights from `--init`, or fresh ones.
pub(super) fn initial_weights(config: &Config) -> Result<Weights> {
    let preset = &config.preset;
    let Some(path) = &config.init else {
        if preset.train.trainable != Trainable::All {
            return Err(Error::input(
                "train.trainable: leaves layers as --init has them, and there is no --init; give it, \
                 or train all",
            ));
        }
        let mut tensors = initialise(preset, config.seed);
        tensors.extend(initialise_buffers(preset));
        return Ok(Weights {
            tensors,
            afresh: true,
            labels: None,
            normalization: None,
            notice: None,
        });
    };
    let weights = builtin::bytes(path)
        .and_then(|bytes| Checkpoint::weights(&bytes, preset, config.seed))
        .and_then(|weights| match goes_along(preset) && weights.normalization.is_none() {
            true => Err(Error::input("it does not say how its features are standardised")),
            false => Ok(weights),
        });
    weights.map_err(|error: Error| {
        error.context(path.display()).context("--init").followed_by(
            "it takes a checkpoint of a model with the same layers, or safetensors with its names",
        )
    })
}

/// Whether the normalisation of `--init` is the run's: frozen layers expect it, and MusiCNN's is the
/// batch norm of its input.
pub(super) fn goes_along(preset: &Preset) -> bool {
    preset.train.trainable != Trainable::All || !preset.model.front.is_empty()
}

/// Those of a model's tensors that training leaves as they are.
pub(super) fn frozen_tensors(
    model: &Checkpoint,
    preset: &Preset,
) -> Result<Vec<(String, Vec<f32>)>> {
    let Some(network) = Network::frozen(preset, model.description()?.normalization) else {
        return Ok(Vec::new());
    };
    let graph = network.graph();
    model.values(&[shapes(graph.parameters()), shapes(graph.buffers())].concat())
}

/// The first tensor with an infinity or a NaN.
fn not_finite(tensors: &[(String, Vec<f32>)]) -> Option<&str> {
    let broken = |(_, values): &&(String, Vec<f32>)| values.iter().any(|value| !value.is_finite());
    tensors.iter().find(broken).map(|(name, _)| name.as_str())
}
