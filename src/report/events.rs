//! A run's TensorBoard events, written as training goes.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use super::tensorboard::{self, Scalars};
use crate::files::write_atomically;
use crate::model::preset::Train;
use crate::run::EpochMetrics;
use crate::{Error, Result};

const TRAIN_LOSS: &str = "loss/train";
const LEARNING_RATE: &str = "learning_rate";

/// The event file of a run.
///
/// It is a function of the training alone: of the losses inside epochs, seen at fixed updates, and
/// of what each epoch ended with. So a resumed run's file has the bytes of an unbroken one's.
#[derive(Debug)]
pub struct Events {
    path: PathBuf,
    train: Train,
    updates_per_epoch: u64,
    /// Update, and the mean training loss since its epoch began.
    inside: Vec<(u64, f32)>,
}

impl Events {
    /// Goes on with the file at `path`, or begins it. What it holds of later than `update` is cut
    /// off, and epochs that have ended are written anew: a kill may have come between two files.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(
        path: PathBuf,
        train: &Train,
        updates_per_epoch: u64,
        update: u64,
        epochs: &[EpochMetrics],
    ) -> Result<Self> {
        let inside = |scalars: &Scalars| {
            let (_, loss) = scalars.values.iter().find(|(tag, _)| tag == TRAIN_LOSS)?;
            let kept =
                scalars.update <= update && !scalars.update.is_multiple_of(updates_per_epoch);
            kept.then_some((scalars.update, *loss))
        };
        let inside = tensorboard::read(&path)?.iter().filter_map(inside).collect();
        let events = Self { path, train: train.clone(), updates_per_epoch, inside };
        let mut all: Vec<Scalars> =
            events.inside.iter().map(|&(update, loss)| events.scalars(update, loss)).collect();
        all.extend(epochs.iter().map(|epoch| events.epoch_scalars(epoch)));
        all.sort_by_key(|scalars| scalars.update);
        let mut bytes = tensorboard::head();
        all.iter().for_each(|scalars| bytes.extend(scalars.frame()));
        // A TensorBoard that watches the file would lose sight of one that takes its place.
        if std::fs::read(&events.path).is_ok_and(|old| old == bytes) {
            return Ok(events);
        }
        write_atomically(&events.path, &bytes)?;
        Ok(events)
    }

    /// Adds the mean training loss of the epoch so far, after an update inside it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn inside(&mut self, update: u64, loss: f32) -> Result<()> {
        self.inside.push((update, loss));
        self.append(&self.scalars(update, loss))
    }

    /// Adds what an epoch ended with.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn epoch(&self, epoch: &EpochMetrics) -> Result<()> {
        self.append(&self.epoch_scalars(epoch))
    }

    /// Updates inside epochs, and the mean training loss of the epoch so far.
    pub fn losses(&self) -> &[(u64, f32)] {
        &self.inside
    }

    fn scalars(&self, update: u64, loss: f32) -> Scalars {
        let rate = self.train.learning_rate(update, self.updates_per_epoch) as f32;
        let values = vec![(TRAIN_LOSS.to_owned(), loss), (LEARNING_RATE.to_owned(), rate)];
        Scalars { update, values }
    }

    fn epoch_scalars(&self, epoch: &EpochMetrics) -> Scalars {
        let mut scalars = self.scalars(epoch.update, epoch.train_loss as f32);
        scalars.values.push(("loss/validation".to_owned(), epoch.validation_loss as f32));
        for (metric, by_mood) in [("roc_auc", &epoch.roc_auc), ("pr_auc", &epoch.pr_auc)] {
            // An undefined one has no point.
            let defined = by_mood.iter().filter_map(|(mood, value)| {
                Some((format!("{metric}/{mood}"), value.as_f64()? as f32))
            });
            scalars.values.extend(defined);
        }
        scalars
    }

    fn append(&self, scalars: &Scalars) -> Result<()> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| file.write_all(&scalars.frame()))
            .map_err(|error| Error::io("write", &self.path, &error))
    }
}
