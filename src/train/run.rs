//! One training: epoch after epoch of updates, validation, checkpoints and the report.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::data::{Begin, Clips, Tracks};
use super::state::{Beginning, Purpose, Verdict, frozen_tensors, goes_along};
use super::{Outcome, Until};
use crate::Result;
use crate::dataset::batches::{Batches, Window, all_windows, window_count};
use crate::dataset::cache::FeatureCache;
use crate::dataset::features::FeatureRecipe;
use crate::dataset::prepare::Prepared;
use crate::exec::Device;
use crate::metrics::{Measured, Predictions, Table, precisions, thresholds};
use crate::model::checkpoint::{Checkpoint, Validation};
use crate::model::preset::{ClassWeights, Trainable};
use crate::model::{self, Embedder, Network, Session, Update};
use crate::ranks::Ranks;
use crate::report::{Events, Progress, span, time_left};
use crate::run::{Config, EpochMetrics, Pace, RunFolder, best, is_over, write_predictions};

/// Updates between two looks at the status word.
const CHECK_EVERY: u64 = 50;
/// Looks at the loss inside an epoch, for the curves that a running job can be watched by.
const EVENTS: u64 = 8;
/// Between two looks at the loss for the progress bar.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Run {
    pub(super) config: Config,
    pub(super) folder: RunFolder,
    pub(super) cache: Arc<FeatureCache>,
    pub(super) clips: Clips,
    pub(super) session: Session,
    /// Updates done.
    pub(super) update: u64,
    pub(super) metrics: Vec<EpochMetrics>,
    pub(super) device: Device,
    /// What this process trained on in each epoch.
    pub(super) pace: Vec<Pace>,
    /// Tensors of the layers that training leaves as they are.
    pub(super) frozen: Vec<(String, Vec<f32>)>,
    /// Those layers, where there are any.
    pub(super) embedder: Option<Embedder>,
    /// What goes with the weights that training began with.
    pub(super) notice: Option<String>,
    /// When this process began to train, and after which update.
    began: (Instant, u64),
    pub(super) ranks: Ranks,
    /// Seconds of this epoch that passed between this rank's gradients and the sum of all ranks', with
    /// the wait for the slowest.
    pub(super) exchanged: f64,
}

impl Run {
    pub(super) fn prepare(
        config: Config,
        folder: RunFolder,
        tracks: Tracks,
        device: &Device,
        cache: Arc<FeatureCache>,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Self> {
        let ranks = Ranks::this();
        let batch = config.preset.train.batch.min(tracks.train.len());
        let batch = ranks.share(batch).len().max(1);
        let preset = &config.preset;
        FeatureRecipe::of(preset).check_fits(device)?;
        if preset.train.trainable == Trainable::All {
            Session::check_fits(device, preset, model::Purpose::Training, batch)?;
        }
        let begin = Beginning::of(&config, &folder)?;
        let said = begin.model.description()?;
        let normalization = goes_along(preset) && config.init.is_some();
        let normalization = normalization.then_some(said.normalization);
        let mut embedder = match normalization {
            Some(normalization) => Embedder::frozen(device, preset, normalization, &begin.model)?,
            None => None,
        };
        let known = Begin { frozen: embedder.as_mut(), normalization };
        let mut clips = Clips::prepare(tracks, &config, device, known, &cache, stop, progress)?;
        if let Some(kept) = begin.kept_normalization()? {
            clips.keep_normalization(kept);
        }
        if ranks.has_others() {
            clips.agree()?;
            // Other devices may have measured another last digit.
            let own = ranks.is_first().then_some(clips.normalization);
            clips.normalization = ranks.hand_out(own)?;
        }
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
        let network = Network::trained(&config.preset, clips.normalization);
        let started = Instant::now();
        let validation = &clips.validation[ranks.share(clips.validation.len())];
        // The best model is tested by rank 0, which has its file.
        let test = if ranks.is_first() { window_count(&clips.test) } else { 0 };
        let predicted = [window_count(validation), test];
        let trained = clips.train.len();
        let mut session = match ranks.has_others() {
            false => Session::new(device, network, trained, &predicted)?,
            true => Session::sharing(device, network, trained, |of| ranks.share(of), &predicted)?,
        };
        if config.preset.train.class_weights == ClassWeights::Balanced {
            let targets = clips.train.iter().map(|clip| &*clip.track.targets);
            session.set_class_weights(balanced_weights(targets, config.preset.moods.len()));
        }
        progress.note(&format!("shaders ready after {:.1} s", started.elapsed().as_secs_f64()));
        let frozen = frozen_tensors(&begin.model, &config.preset)?;
        let mut run = Self {
            config,
            folder,
            cache,
            clips,
            session,
            update: 0,
            metrics: Vec::new(),
            device: device.clone(),
            pace: Vec::new(),
            frozen,
            embedder,
            notice: said.notice,
            began: (Instant::now(), 0),
            ranks: ranks.in_time(),
            exchanged: 0.0,
        };
        run.load(&begin)?;
        Ok(run)
    }

    pub(super) fn updates_per_epoch(&self) -> u64 {
        self.clips.train.len().div_ceil(self.config.preset.train.batch) as u64
    }

    pub(super) fn train(mut self, until: Until<'_>, progress: &Progress) -> Result<Outcome> {
        let per_epoch = self.updates_per_epoch();
        let last_update = self.config.preset.train.epochs * per_epoch;
        let end = until.max_steps.map_or(last_update, |most| most.min(last_update));
        if self.update > 0 && self.update < end {
            progress.note(&format!("going on after update {} of {end}", self.update));
        }
        self.began = (Instant::now(), self.update);
        let mut events = if self.ranks.is_first() { Some(self.open_events()?) } else { None };
        let mut interrupted = false;
        loop {
            // The epoch that just ended is judged before the next begins.
            let ended = self.update / per_epoch;
            if self.update > 0
                && self.update.is_multiple_of(per_epoch)
                && (self.metrics.len() as u64) < ended
            {
                self.end_epoch(ended, end, events.as_ref(), progress)?;
            }
            if self.update >= end || is_over(&self.metrics, &self.config.preset.train) {
                break;
            }
            if self.epoch(end, events.as_mut(), until.stop, progress)? {
                interrupted = true;
                break;
            }
        }
        self.save_last()?;
        interrupted |=
            self.update < last_update && !is_over(&self.metrics, &self.config.preset.train);
        let Some(events) = events else {
            let Self { config, folder, clips, update, metrics, .. } = self;
            return Ok(Outcome::unjudged(
                folder,
                &config,
                update,
                metrics,
                clips.broken,
                interrupted,
            ));
        };
        if interrupted {
            self.report(&events, Vec::new(), false)?;
        } else {
            self.load_best()?;
            self.test(progress)?;
            match self.timelines(until.stop, progress)? {
                Some(timelines) => self.report(&events, timelines, true)?,
                None => {
                    interrupted = true;
                    progress.note(&format!(
                        "warning: stopped before the report was written; moodshader train --resume \
                         {} writes it",
                        self.folder.path().display()
                    ));
                }
            }
        }
        let Self { config, folder, clips, update, metrics, pace, .. } = self;
        let outcome = Outcome::new(folder, &config, update, metrics, clips.broken, interrupted)?;
        Ok(Outcome { pace, ..outcome })
    }

    /// The order of the clips in an epoch, with one window of each.
    fn order(&self, epoch: u64) -> Vec<Window> {
        let mut order: Vec<usize> = (0..self.clips.train.len()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.config.seed);
        rng.set_stream(epoch);
        if self.config.preset.train.shuffle {
            order.shuffle(&mut rng);
        }
        let window = |clip: usize| match self.clips.train[clip].windows {
            1 => Window { clip, window: 0 },
            windows => Window { clip, window: rng.random_range(0..windows) },
        };
        order.into_iter().map(window).collect()
    }

    /// "  run 1 h 55 min", once it is known.
    fn left(&self, end: u64) -> String {
        let (started, from) = self.began;
        match time_left(started.elapsed(), self.update - from, end.saturating_sub(self.update)) {
            Some(left) if self.update < end => format!("  run {}", span(left)),
            _ => String::new(),
        }
    }

    fn open_events(&self) -> Result<Events> {
        let (train, per_epoch) = (&self.config.preset.train, self.updates_per_epoch());
        Events::open(self.folder.events(), train, per_epoch, self.update, &self.metrics)
    }

    /// Mean training loss of the epoch under way, after `done` of its updates.
    fn mean_loss(&mut self, done: u64) -> Result<f64> {
        let clips = (done as usize * self.config.preset.train.batch).min(self.clips.train.len());
        Ok(f64::from(self.session.epoch_loss()?) / clips as f64)
    }

    /// Trains to the end of the epoch, to `end`, or until told to stop; whether that was so, on which
    /// ranks agree.
    fn epoch(
        &mut self,
        end: u64,
        mut events: Option<&mut Events>,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<bool> {
        let per_epoch = self.updates_per_epoch();
        let epoch = self.update / per_epoch;
        let within = self.update % per_epoch;
        let train = &self.config.preset.train;
        let (ranks, trained) = (self.ranks, self.clips.train.len());
        let order: Vec<Vec<Window>> = self
            .order(epoch)
            .chunks(train.batch)
            .skip(within as usize)
            .map(|batch| batch[ranks.share(batch.len())].to_vec())
            .collect();
        let mut batches =
            Batches::new(Arc::clone(&self.cache), Arc::clone(&self.clips.train), order);
        let bar =
            progress.bar(&format!("epoch {}/{}", epoch + 1, train.epochs), per_epoch as usize);
        bar.begin_at(within as usize);
        self.exchanged = 0.0;
        let started = Instant::now();
        let mut looked = started;
        let event_every = (per_epoch / EVENTS).clamp(1, CHECK_EVERY);
        let (mut clips, mut waited) = (0, 0.0);
        let mut stopped = false;
        loop {
            self.session.wait_until_ready()?;
            let asked = Instant::now();
            let Some(batch) = batches.next_batch()? else { break };
            waited += asked.elapsed().as_secs_f64();
            let told = stop.load(Ordering::Relaxed);
            if self.update >= end || stopped || (told && !ranks.has_others()) {
                break;
            }
            let size = self.config.preset.train.batch;
            let of = size.min(trained - (self.update - epoch * per_epoch) as usize * size);
            let train = &self.config.preset.train;
            let update = Update {
                number: self.update,
                seed: self.config.seed,
                learning_rate: train.learning_rate(self.update, per_epoch),
                averaging: train.averaging(self.update, per_epoch),
            };
            match ranks.has_others() {
                false => self.session.update(batch.inputs(), &batch.targets, update)?,
                true => stopped = self.update_together(&batch, of, update, told)?,
            }
            self.update += 1;
            clips += of;
            // The device has its copy: the next one is read from now on.
            drop(batch);
            let done = self.update - epoch * per_epoch;
            bar.at(done as usize);
            if self.update.is_multiple_of(CHECK_EVERY) {
                self.session.check()?;
            }
            let Some(events) = &mut events else { continue };
            // The epoch's end has an event of its own.
            if done.is_multiple_of(event_every) && done < per_epoch {
                let loss = self.mean_loss(done)?;
                events.inside(self.update, loss as f32)?;
            }
            if looked.elapsed() > LOOK_EVERY {
                looked = Instant::now();
                let loss = self.mean_loss(done)?;
                bar.message(format!(
                    "epoch {}/{}  loss {loss:.4}  {:.1} clips/s{}",
                    epoch + 1,
                    self.config.preset.train.epochs,
                    clips as f64 / started.elapsed().as_secs_f64(),
                    self.left(end)
                ));
            }
        }
        self.session.check()?;
        if clips > 0 {
            let seconds = started.elapsed().as_secs_f64();
            self.pace.push(Pace { epoch: epoch + 1, clips, seconds, waited });
        }
        if stopped {
            // Another rank was told; all stop for the same reason.
            stop.store(true, Ordering::Relaxed);
        }
        Ok(if ranks.has_others() { stopped } else { stop.load(Ordering::Relaxed) })
    }

    /// Judges the model after an epoch, keeps it if it is the best, and saves the state.
    fn end_epoch(
        &mut self,
        epoch: u64,
        end: u64,
        events: Option<&Events>,
        progress: &Progress,
    ) -> Result<()> {
        self.session.check()?;
        let train_loss = self.mean_loss(self.updates_per_epoch())?;
        let predictions = self.validate(progress)?;
        let Some(events) = events else {
            self.metrics.push(self.ranks.hand_out(None)?);
            self.session.set_epoch_loss(0.0)?;
            return self.save_last();
        };
        let moods = &self.config.preset.moods;
        let diverged = self.config.preset.train.diverged();
        let Measured { scores, intervals } =
            Measured::new(&predictions.targets, &predictions.probabilities, moods.len())
                .map_err(|error| error.followed_by(&diverged))?;
        let train = &self.config.preset.train;
        let line = EpochMetrics {
            epoch,
            update: self.update,
            learning_rate: train.learning_rate(self.update, self.updates_per_epoch()),
            train_loss,
            validation_loss: predictions
                .mean_loss()
                .map_err(|error| error.followed_by(&diverged))?,
            ..EpochMetrics::default()
        };
        let line = self.ranks.hand_out(Some(line.judged(&scores, &intervals, moods)?))?;
        let epochs = train.epochs;
        self.metrics.push(line.clone());
        let is_best = best(&self.metrics).is_some_and(|best| best.epoch == epoch);
        if is_best {
            let table = Table::new(&predictions.targets, &predictions.probabilities, moods.len())?;
            let verdict = Verdict {
                thresholds: thresholds(table)?,
                precisions: precisions(table)?,
                validation: Validation {
                    epoch,
                    loss: line.validation_loss,
                    roc_auc: scores.roc_auc.macro_mean,
                    pr_auc: scores.pr_auc.macro_mean,
                },
            };
            self.checkpoint(Purpose::Use(verdict))?.write(&self.folder.best())?;
            let clips = Arc::clone(&self.clips.validation);
            write_predictions(
                &self.folder.predictions(),
                &self.config.preset.moods,
                &clips,
                &predictions.probabilities,
            )?;
        }
        let over = is_over(&self.metrics, &self.config.preset.train);
        if over {
            // The report of a run that goes on is not taken for that of a finished one.
            self.folder.remove_report()?;
        }
        self.folder.write_metrics(&self.metrics)?;
        events.epoch(&line)?;
        self.session.set_epoch_loss(0.0)?;
        self.save_last()?;
        if !over {
            self.report(events, Vec::new(), false)?;
        }
        progress.note(&format!(
            "epoch {epoch}/{epochs}  loss {train_loss:.4}  validation loss {:.4}  ROC-AUC {}{}{}{}{}",
            line.validation_loss,
            line.macro_roc_auc().map_or("undefined".to_owned(), |auc| format!("{auc:.4}")),
            match self.pace.last() {
                // The epoch ended in another process, which was stopped there.
                None => String::new(),
                Some(pace) => format!("  {:.1} clips/s", pace.clips as f64 / pace.seconds),
            },
            match self.pace.last().filter(|_| self.ranks.has_others()) {
                None => String::new(),
                Some(pace) => {
                    format!("  exchange {:.0} %", 100.0 * self.exchanged / pace.seconds)
                }
            },
            if over { String::new() } else { self.left(end) },
            if is_best { "  (best)" } else { "" }
        ));
        if over && epoch < epochs {
            progress.note(&format!(
                "no better for {} epochs: training ends (train.patience)",
                epoch - best(&self.metrics).map_or(1, |best| best.epoch)
            ));
        }
        Ok(())
    }

    pub(super) fn predict(
        &mut self,
        what: &str,
        clips: &Arc<Vec<Prepared>>,
        of: Range<usize>,
        progress: &Progress,
    ) -> Result<Predictions> {
        let bar = progress.bar(what, window_count(&clips[of.clone()]));
        let order = all_windows(clips, of, self.config.preset.train.batch);
        Batches::new(Arc::clone(&self.cache), Arc::clone(clips), order)
            .judge(&mut self.session, &|done| bar.at(done))
    }

    /// Puts the best model on the device.
    fn load_best(&mut self) -> Result<()> {
        self.session.put(&Checkpoint::read(&self.folder.best())?)
    }

    /// Scores the model on the device on the test manifest.
    fn test(&mut self, progress: &Progress) -> Result<()> {
        if self.clips.test.is_empty() {
            return Ok(());
        }
        let clips = Arc::clone(&self.clips.test);
        let predictions = self.predict("test", &clips, 0..clips.len(), progress)?;
        let path = self.folder.test_predictions();
        write_predictions(&path, &self.config.preset.moods, &clips, &predictions.probabilities)
    }
}

/// The weight of each mood's positive term that makes both of its classes weigh the same: negatives ÷
/// positives, the ratio of scikit-learn's "balanced" weights of the two. A mood that no clip has
/// keeps 1.
fn balanced_weights<'a>(targets: impl Iterator<Item = &'a [bool]>, moods: usize) -> Vec<f32> {
    let mut positives = vec![0_usize; moods];
    let mut clips = 0;
    for targets in targets {
        clips += 1;
        for (count, &target) in positives.iter_mut().zip(targets) {
            *count += usize::from(target);
        }
    }
    let weight = |count: usize| match count {
        0 => 1.0,
        _ => (clips - count) as f32 / count as f32,
    };
    positives.into_iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::balanced_weights;

    #[test]
    fn balanced_weights_are_negatives_by_positives() {
        let targets = [[true, false, true], [false, false, true], [false, false, true]];
        let weights = balanced_weights(targets.iter().map(|row| &row[..]), 3);
        assert_eq!(weights, [2.0, 1.0, 0.0]);
    }
}
