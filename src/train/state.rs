//! The state that a run starts from or goes on with.

use std::collections::HashSet;
use std::path::Path;

use super::folder::damaged;
use super::{MOMENTS, Run};
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::parameters::{
    buffer_shapes, initialise, initialise_buffers, optimizer_shapes, parameter_shapes,
};
use crate::model::preset::Preset;
use crate::plan::Storage;
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
            let values = |shapes: Vec<_>| checkpoint.values(&shapes).map_err(in_file);
            let parameters = values(parameter_shapes(preset))?;
            let buffers = values(buffer_shapes(preset))?;
            let moments = values(optimizer_shapes(preset))?;
            self.session.upload(Storage::Parameters, &parameters)?;
            self.session.upload(Storage::Buffers, &buffers)?;
            for (storage, prefix) in MOMENTS {
                let named: Vec<_> = moments
                    .iter()
                    .filter_map(|(name, values)| {
                        Some((name.strip_prefix(prefix)?.to_owned(), values.clone()))
                    })
                    .collect();
                self.session.upload(storage, &named)?;
            }
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
        let last = self.folder.last();
        if description.preset != self.config.preset {
            return Err(Error::input(format!(
                "{} was trained with another preset than {} says ({}); restore the file, or start \
                 a new run",
                last.display(),
                self.folder.config().display(),
                difference(&description.preset, &self.config.preset)?
            )));
        }
        if description.split != self.clips.split {
            return Err(Error::input(format!(
                "the training or validation tracks have changed since {} was written, or other \
                 audio files are broken; restore them, or start a new run with --init {}",
                last.display(),
                last.display()
            )));
        }
        if description.normalization != self.clips.normalization {
            return Err(Error::input(format!(
                "the training audio has changed since {} was written (its log-mel mean and \
                 deviation were {:?}, now {:?}); restore the files, or start a new run with --init",
                last.display(),
                description.normalization,
                self.clips.normalization
            )));
        }
        Ok(())
    }
}

/// The lines of two presets that differ.
fn difference(then: &Preset, now: &Preset) -> Result<String> {
    let (then, now) = (then.to_toml()?, now.to_toml()?);
    let only = |these: &str, those: &str| -> Vec<String> {
        let those: HashSet<&str> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(str::to_owned).collect()
    };
    Ok(format!("{} then, {} now", only(&then, &now).join(", "), only(&now, &then).join(", ")))
}

/// Weights and batch-norm statistics for `preset`, from a file.
pub(super) fn initial_weights(path: &Path, preset: &Preset) -> Result<Vec<(String, Vec<f32>)>> {
    let named = |error: Error| {
        error.context("--init").followed_by(
            "it takes a checkpoint of a model with the same layers, or safetensors with its names",
        )
    };
    let values = Checkpoint::read_weights(path, preset).map_err(named)?;
    match not_finite(&values) {
        None => Ok(values),
        Some(name) => Err(Error::input(format!(
            "--init: {}: tensor `{name}` holds a number that is not finite",
            path.display()
        ))),
    }
}

/// The first tensor with an infinity or a NaN.
pub(super) fn not_finite(tensors: &[(String, Vec<f32>)]) -> Option<&str> {
    let broken = |(_, values): &&(String, Vec<f32>)| values.iter().any(|value| !value.is_finite());
    tensors.iter().find(broken).map(|(name, _)| name.as_str())
}
