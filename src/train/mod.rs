//! Training: from a configuration to a run folder.

mod config;
mod data;
mod folder;
mod session;

pub use config::{Config, Data};
pub use data::{recipe, synthesise};
pub use folder::{EpochMetrics, RunFolder, best};
pub use session::{Predictions, Session};

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::dataset::batches::Batches;
use crate::dataset::cache::FeatureCache;
use crate::dataset::prepare::Prepared;
use crate::exec::Device;
use crate::metrics::Scores;
use crate::model::Network;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::parameters::{
    buffer_shapes, initialise, initialise_buffers, optimizer_shapes, parameter_shapes,
};
use crate::plan::Storage;
use crate::report::Progress;
use crate::{Error, Result};
use data::Clips;
use folder::{by_mood, write_predictions};

/// Updates between two looks at the status word.
const CHECK_EVERY: u64 = 50;
/// Between two looks at the loss.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How a training ended.
#[derive(Debug)]
pub struct Outcome {
    pub folder: RunFolder,
    pub update: u64,
    /// Stopped by Ctrl-C or `--max-steps` before the last epoch's end.
    pub interrupted: bool,
    pub metrics: Vec<EpochMetrics>,
    /// Of the best model on the test manifest, if one was given.
    pub test: Option<Scores>,
}

/// Starts a run in a new folder.
pub fn start(
    mut config: Config,
    out: &Path,
    device: &Device,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Outcome> {
    let folder = RunFolder::create(out)?;
    let seed = config.seed;
    let mut preset = config.preset.clone();
    let tracks = config.data.tracks(&mut preset, seed, progress)?;
    config.preset = preset;
    config.write(&folder.config())?;
    Run::prepare(config, folder, tracks, device, progress)?.train(stop, progress)
}

/// Goes on with a run where it stopped.
pub fn resume(
    path: &Path,
    device: &Device,
    stop: &AtomicBool,
    progress: &Progress,
) -> Result<Outcome> {
    let folder = RunFolder::open(path)?;
    let config = Config::read(&folder.config())?;
    if let Some(clips) = config.data.synthetic_clips {
        synthesise(&config.preset, clips, config.seed, progress)?;
    }
    let mut preset = config.preset.clone();
    let tracks = config.data.tracks(&mut preset, config.seed, progress)?;
    if preset != config.preset {
        return Err(Error::input(format!(
            "the moods of the training manifest have changed since {} was written: {:?} then, {:?} \
             now",
            folder.config().display(),
            config.preset.moods,
            preset.moods
        )));
    }
    Run::prepare(config, folder, tracks, device, progress)?.train(stop, progress)
}

struct Run {
    config: Config,
    folder: RunFolder,
    cache: Arc<FeatureCache>,
    clips: Clips,
    session: Session,
    /// Updates done.
    update: u64,
    metrics: Vec<EpochMetrics>,
}

impl Run {
    fn prepare(
        config: Config,
        folder: RunFolder,
        tracks: data::Tracks,
        device: &Device,
        progress: &Progress,
    ) -> Result<Self> {
        let cache = Arc::new(FeatureCache::open(None)?);
        let clips = Clips::prepare(tracks, &config, device, &cache, progress)?;
        progress.note(&format!(
            "{} training and {} validation clips of {} s{}",
            clips.train.len(),
            clips.validation.len(),
            config.preset.audio.clip_seconds,
            match clips.test.len() {
                0 => String::new(),
                count => format!(", {count} test clips"),
            }
        ));
        let network = Network::new(&config.preset, clips.normalization);
        let started = Instant::now();
        let predicted = [clips.validation.len(), clips.test.len()];
        let session = Session::new(device, network, clips.train.len(), &predicted)?;
        progress.note(&format!("shaders ready after {:.1} s", started.elapsed().as_secs_f64()));
        let mut run =
            Self { config, folder, cache, clips, session, update: 0, metrics: Vec::new() };
        run.load()?;
        Ok(run)
    }

    /// The state to start from: the run's last checkpoint, given weights, or fresh ones.
    fn load(&mut self) -> Result<()> {
        let preset = &self.config.preset;
        let last = self.folder.last();
        if last.exists() {
            let checkpoint = Checkpoint::read(&last)?;
            let description = checkpoint.description()?;
            self.check_same(&description)?;
            let parameters = checkpoint.values(&parameter_shapes(preset))?;
            self.session.upload(Storage::Parameters, &parameters)?;
            self.session.upload(Storage::Buffers, &checkpoint.values(&buffer_shapes(preset))?)?;
            let moments = checkpoint.values(&optimizer_shapes(preset))?;
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
            return Ok(());
        }
        let (parameters, buffers) = match &self.config.init {
            None => (initialise(preset, self.config.seed), initialise_buffers(preset)),
            Some(path) => {
                let mut values = Checkpoint::read_weights(path, preset)?;
                let buffers = values.split_off(parameter_shapes(preset).len());
                (values, buffers)
            }
        };
        self.session.upload(Storage::Parameters, &parameters)?;
        self.session.upload(Storage::Buffers, &buffers)?;
        self.save_last()
    }

    /// Refuses to go on with other data than before, since the result would be neither run.
    fn check_same(&self, description: &Description) -> Result<()> {
        let last = self.folder.last();
        if description.preset != self.config.preset {
            return Err(Error::input(format!(
                "{} was trained with another preset than {} says; start a new run instead",
                last.display(),
                self.folder.config().display()
            )));
        }
        if description.split != self.clips.split {
            return Err(Error::input(format!(
                "the training or validation tracks have changed since {} was written; restore the \
                 manifests, or start a new run with --init {}",
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

    fn updates_per_epoch(&self) -> u64 {
        self.clips.train.len().div_ceil(self.config.preset.train.batch) as u64
    }

    fn train(mut self, stop: &AtomicBool, progress: &Progress) -> Result<Outcome> {
        let per_epoch = self.updates_per_epoch();
        let last_update = self.config.preset.train.epochs * per_epoch;
        let end = self.config.max_steps.map_or(last_update, |most| most.min(last_update));
        if self.update >= end && self.metrics.len() as u64 * per_epoch >= end {
            progress.note(&format!(
                "{} is finished: {} of {last_update} updates",
                self.folder.path().display(),
                self.update
            ));
        }
        let mut interrupted = false;
        loop {
            // The epoch that just ended is judged before the next begins.
            let ended = self.update / per_epoch;
            if self.update > 0
                && self.update.is_multiple_of(per_epoch)
                && (self.metrics.len() as u64) < ended
            {
                self.end_epoch(ended, progress)?;
            }
            if self.update >= end {
                break;
            }
            self.epoch(end, stop, progress)?;
            if stop.load(Ordering::Relaxed) {
                interrupted = true;
                break;
            }
        }
        self.session.check()?;
        self.save_last()?;
        let test = if interrupted { None } else { self.test()? };
        Ok(Outcome {
            folder: self.folder,
            update: self.update,
            interrupted: interrupted || self.update < last_update,
            metrics: self.metrics,
            test,
        })
    }

    /// The order of the clips in an epoch.
    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.clips.train.len()).collect();
        if self.config.preset.train.shuffle {
            let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
            rng.set_stream(epoch);
            order.shuffle(&mut rng);
        }
        order
    }

    /// Trains to the end of the epoch, to `end`, or until told to stop.
    fn epoch(&mut self, end: u64, stop: &AtomicBool, progress: &Progress) -> Result<()> {
        let per_epoch = self.updates_per_epoch();
        let epoch = self.update / per_epoch;
        let within = self.update % per_epoch;
        let train = &self.config.preset.train;
        let order: Vec<Vec<usize>> = self
            .order(epoch)
            .chunks(train.batch)
            .skip(within as usize)
            .map(<[_]>::to_vec)
            .collect();
        let batches = Batches::new(Arc::clone(&self.cache), Arc::clone(&self.clips.train), order);
        let bar =
            progress.bar(&format!("epoch {}/{}", epoch + 1, train.epochs), per_epoch as usize);
        bar.at(within as usize);
        let started = Instant::now();
        let mut looked = started;
        let mut clips = 0;
        for batch in batches {
            if self.update >= end || stop.load(Ordering::Relaxed) {
                break;
            }
            let batch = batch?;
            let rate = self.config.preset.train.learning_rate(self.update, per_epoch);
            self.session.update(&batch, self.update, self.config.seed, rate)?;
            self.update += 1;
            clips += batch.clips;
            let done = self.update - epoch * per_epoch;
            bar.at(done as usize);
            if self.update.is_multiple_of(CHECK_EVERY) {
                self.session.check()?;
            }
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                let batch = self.config.preset.train.batch;
                let seen = (done as usize * batch).min(self.clips.train.len());
                let loss = f64::from(self.session.epoch_loss()?) / seen as f64;
                bar.message(format!(
                    "epoch {}/{}  loss {loss:.4}  {:.1} clips/s",
                    epoch + 1,
                    self.config.preset.train.epochs,
                    clips as f64 / started.elapsed().as_secs_f64()
                ));
            }
        }
        self.session.check()?;
        bar.finish();
        if clips > 0 {
            progress.note(&format!(
                "epoch {}: {clips} clips in {:.1} s, {:.2} clips/s",
                epoch + 1,
                started.elapsed().as_secs_f64(),
                clips as f64 / started.elapsed().as_secs_f64()
            ));
        }
        Ok(())
    }

    /// Judges the model after an epoch, keeps it if it is the best, and saves the state.
    fn end_epoch(&mut self, epoch: u64, progress: &Progress) -> Result<()> {
        self.session.check()?;
        let train_loss = f64::from(self.session.epoch_loss()?) / self.clips.train.len() as f64;
        let predictions = self.predict(&Arc::clone(&self.clips.validation))?;
        let moods = &self.config.preset.moods;
        let scores = predictions.scores(moods.len())?;
        let [roc_auc, pr_auc] = by_mood(&scores, moods)?;
        let train = &self.config.preset.train;
        let line = EpochMetrics {
            epoch,
            update: self.update,
            learning_rate: train.learning_rate(self.update, self.updates_per_epoch()),
            train_loss,
            validation_loss: predictions.mean_loss(),
            roc_auc,
            pr_auc,
        };
        let epochs = train.epochs;
        self.metrics.push(line.clone());
        let is_best = best(&self.metrics).is_some_and(|best| best.epoch == epoch);
        if is_best || (epoch == 1 && best(&self.metrics).is_none()) {
            self.checkpoint(false)?.write(&self.folder.best())?;
            let clips = Arc::clone(&self.clips.validation);
            write_predictions(
                &self.folder.predictions(),
                &self.config.preset.moods,
                &clips,
                &predictions.probabilities,
            )?;
        }
        self.folder.write_metrics(&self.metrics)?;
        self.session.set_epoch_loss(0.0)?;
        self.save_last()?;
        progress.note(&format!(
            "epoch {epoch}/{epochs}  loss {train_loss:.4}  validation loss {:.4}  ROC-AUC {}{}",
            line.validation_loss,
            line.macro_roc_auc().map_or("undefined".to_owned(), |auc| format!("{auc:.4}")),
            if is_best { "  (best)" } else { "" }
        ));
        Ok(())
    }

    fn predict(&mut self, clips: &Arc<Vec<Prepared>>) -> Result<Predictions> {
        let indices: Vec<usize> = (0..clips.len()).collect();
        let order = indices.chunks(self.config.preset.train.batch).map(<[_]>::to_vec).collect();
        let mut predictions = Predictions::default();
        for batch in Batches::new(Arc::clone(&self.cache), Arc::clone(clips), order) {
            self.session.predict(&batch?, &mut predictions)?;
        }
        Ok(predictions)
    }

    /// Scores the best model on the test manifest.
    fn test(&mut self) -> Result<Option<Scores>> {
        if self.clips.test.is_empty() || !self.folder.best().exists() {
            return Ok(None);
        }
        let preset = self.config.preset.clone();
        let checkpoint = Checkpoint::read(&self.folder.best())?;
        let parameters = checkpoint.values(&parameter_shapes(&preset))?;
        self.session.upload(Storage::Parameters, &parameters)?;
        self.session.upload(Storage::Buffers, &checkpoint.values(&buffer_shapes(&preset))?)?;
        let clips = Arc::clone(&self.clips.test);
        let predictions = self.predict(&clips)?;
        write_predictions(
            &self.folder.test_predictions(),
            &preset.moods,
            &clips,
            &predictions.probabilities,
        )?;
        predictions.scores(preset.moods.len()).map(Some)
    }

    /// The model as it is, with the optimiser's state or without.
    fn checkpoint(&mut self, resumable: bool) -> Result<Checkpoint> {
        let description = Description {
            labels: self.config.preset.moods.clone(),
            preset: self.config.preset.clone(),
            normalization: self.clips.normalization,
            update: self.update,
            epoch_loss: if resumable { Some(self.session.epoch_loss()?) } else { None },
            split: self.clips.split.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            thresholds: None,
        };
        let mut tensors = self.session.download(Storage::Parameters)?;
        tensors.extend(self.session.download(Storage::Buffers)?);
        if resumable {
            for (storage, prefix) in MOMENTS {
                let moments = self.session.download(storage)?;
                tensors.extend(
                    moments.into_iter().map(|(name, values)| (format!("{prefix}{name}"), values)),
                );
            }
        }
        Checkpoint::new(&description, tensors)
    }

    fn save_last(&mut self) -> Result<()> {
        self.session.check()?;
        self.checkpoint(true)?.write(&self.folder.last())
    }
}

/// Adam's moments and the prefix of their names in a checkpoint.
const MOMENTS: [(Storage, &str); 2] =
    [(Storage::ExpAvg, "optimizer.exp_avg."), (Storage::ExpAvgSq, "optimizer.exp_avg_sq.")];
