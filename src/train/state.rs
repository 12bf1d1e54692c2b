//! The state that a run starts from or goes on with.

use super::run::Run;
use crate::model::builtin;
use crate::model::checkpoint::{Checkpoint, Description, Normalization, Weights};
use crate::model::parameters::{initialise, initialise_buffers};
use crate::model::preset::{Preset, Trainable};
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
