//! The state that a run starts from or goes on with.

use std::path::Path;

use super::run::Run;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::parameters::{initialise, initialise_buffers, parameter_shapes};
use crate::model::preset::Preset;
use crate::plan::Storage;
use crate::run::{Config, RunFolder, damaged, differences, track_changes, write_tracks};
use crate::{Error, Result};

impl Run {
    /// The state to start from: the run's last checkpoint, given weights, or fresh ones.
    pub(super) fn load(&mut self) -> Result<()> {
        let preset = &self.config.preset;
        let last = self.folder.last();
        if last.exists() {
            let checkpoint = self.folder.read_last()?;
            let description = checkpoint.description()?;
            self.check_same(&description)?;
            let in_file = |error: Error| damaged(error.context(last.display()));
            self.session.put(&checkpoint).map_err(in_file)?;
            self.session.put_moments(&checkpoint).map_err(in_file)?;
            self.session.set_epoch_loss(description.epoch_loss.unwrap_or(0.0))?;
            self.update = description.update;
            // An epoch whose line was written but whose state was not runs again.
            self.metrics = self.folder.read_metrics()?;
            self.metrics.retain(|line| line.update <= self.update);
            return self.check_metrics();
        }
        let (parameters, buffers) = match &self.config.init {
            None => (initialise(preset, self.config.seed), initialise_buffers(preset)),
            Some(path) => {
                let mut values = initial_weights(path, preset)?;
                let buffers = values.split_off(parameter_shapes(preset).len());
                (values, buffers)
            }
        };
        self.session.upload(Storage::Parameters, &parameters)?;
        self.session.upload(Storage::Buffers, &buffers)?;
        write_tracks(&self.folder.tracks(), &self.config.preset.moods, self.clips.parts())?;
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
    let mut differing = differences(&state.preset, &config.preset, "preset")?;
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

/// Weights and batch-norm statistics for `preset`, from a file.
pub(super) fn initial_weights(path: &Path, preset: &Preset) -> Result<Vec<(String, Vec<f32>)>> {
    let named = |error: Error| {
        error.context("--init").followed_by(
            "it takes a checkpoint of a model with the same layers and moods, or safetensors with its names",
        )
    };
    Checkpoint::read_weights(path, preset).map_err(named)
}
