//! Training: from a configuration to a run folder.

mod data;
mod report;
mod run;
mod state;
mod together;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde::{Deserialize, Serialize};

use crate::dataset::cache::FeatureCache;
use crate::dataset::labels::shortened;
use crate::dataset::manifest::Track;
use crate::dataset::prepare::Broken;
use crate::dataset::split::Split;
use crate::error::Kind;
use crate::exec::Device;
use crate::metrics::Measured;
use crate::model::builtin;
use crate::model::checkpoint::Weights;
use crate::model::preset::Schedule;
use crate::ranks::Ranks;
use crate::report::Progress;
use crate::run::{
    Config, EpochMetrics, Pace, RunFolder, differences, had, is_over, kept_split, read_predictions,
};
use crate::{Error, Result};
use data::Tracks;
use run::Run;
use state::{check_same_config, initial_weights};

/// How a training ended.
#[derive(Debug)]
pub struct Outcome {
    /// What it wrote.
    pub folder: RunFolder,
    /// Updates in all.
    pub update: u64,
    /// Stopped by Ctrl-C or `max_steps` before all was done.
    pub interrupted: bool,
    /// One line for each epoch that ended.
    pub metrics: Vec<EpochMetrics>,
    /// What this process trained on in each epoch.
    pub pace: Vec<Pace>,
    /// In the order of the model's outputs.
    pub moods: Vec<String>,
    /// Scores of the best model on the validation clips, once an epoch has ended.
    pub validation: Option<Measured>,
    /// Scores of the best model on the test manifest, if one was given and the run is finished.
    pub test: Option<Measured>,
    /// Audio files that could not be used.
    pub broken: Vec<Broken>,
}

/// When a training ends before its last epoch does.
#[derive(Clone, Copy, Debug)]
pub struct Until<'a> {
    /// Ends it after the update under way, once set.
    pub stop: &'a AtomicBool,
    /// Updates in all.
    pub max_steps: Option<u64>,
}

/// Starts a run in a new folder. What is wrong with the input is found before the folder is kept:
/// a start that fails leaves nothing behind.
pub fn start(
    mut config: Config,
    out: &Path,
    device: &Device,
    until: Until<'_>,
    progress: &Progress,
) -> Result<Outcome> {
    let mut fresh = RunFolder::create(out)?;
    let cache = Arc::new(FeatureCache::open(None)?);
    config.synthesise(until.stop, progress)?;
    let mut preset = config.preset.clone();
    let hold_back =
        |tracks, moods: &[String]| config.draw_split(tracks, moods, &cache, until.stop, progress);
    let tracks = config.data.tracks(&mut preset, &hold_back, progress)?;
    tracks.check_learnable(&preset.moods)?;
    config.preset = preset;
    let weights = initial_weights(&config)?;
    tell_init(&config, &weights, progress);
    tell_known(&config, &tracks, progress)?;
    let folder = fresh.folder().clone();
    fresh.claim()?;
    let _alone = folder.lock()?;
    config.write(&folder.config())?;
    let way_on = folder.clone();
    let Task { config, tracks, .. } = hand_out(config, tracks, &folder)?;
    match Run::prepare(config, folder, tracks, device, cache, until.stop, progress) {
        Ok(run) => {
            fresh.keep();
            run.train(until, progress)
        }
        Err(error) => {
            if matches!(error.kind, Kind::Stopped | Kind::DeviceLost) {
                fresh.keep();
            }
            Err(error)
        }
    }
    .map_err(|error| error_with_way_on(error, &way_on))
}

/// What rank 0 has found out before any audio is read, and the other ranks learn from it.
#[derive(Serialize, Deserialize)]
struct Task {
    config: Config,
    tracks: Tracks,
    /// Where rank 0 writes. The others may have no such folder.
    folder: PathBuf,
}

/// Tells the other ranks what there is to do.
fn hand_out(config: Config, tracks: Tracks, folder: &RunFolder) -> Result<Task> {
    let ranks = Ranks::this();
    let batch = config.preset.train.batch;
    if batch < ranks.count() {
        return Err(Error::input(format!(
            "train.batch = {batch}: each of {} ranks takes a share of every batch, so a batch needs as \
             many clips; start fewer processes, or raise it",
            ranks.count()
        )));
    }
    ranks.hand_out(Some(Task { config, tracks, folder: folder.path().to_owned() }))
}

/// Takes part in what rank 0 has started or goes on with. Nothing is written; the outcome tells what was
/// done and no scores.
///
/// # Errors
/// As [`start`]; rank 0 has other audio.
pub fn take_part(device: &Device, until: Until<'_>, progress: &Progress) -> Result<Outcome> {
    let Task { mut config, tracks, folder } = Ranks::this().hand_out(None)?;
    let folder = RunFolder::at(&folder);
    let cache = Arc::new(FeatureCache::open(None)?);
    // Where the cache is another host's than rank 0's.
    config.synthesise(until.stop, progress)?;
    Run::prepare(config, folder.clone(), tracks, device, cache, until.stop, progress)
        .and_then(|run| run.train(until, progress))
        .map_err(|error| error_with_way_on(error, &folder))
}

/// Says what of `--init` is used.
fn tell_init(config: &Config, weights: &Weights, progress: &Progress) {
    let Some(path) = config.init.as_deref().filter(|_| weights.afresh) else { return };
    let what = match &weights.labels {
        Some(labels) => format!("its last layer is for {}", shortened(labels)),
        None => "its last layer has another shape".to_owned(),
    };
    progress.note(&format!(
        "--init {}: all weights but the last layer's are taken ({what}); that begins afresh, for {}",
        path.display(),
        shortened(&config.preset.moods)
    ));
}

/// Warns of clips to judge on that have trained the model which the run begins with.
fn tell_known(config: &Config, tracks: &Tracks, progress: &Progress) -> Result<()> {
    let Some(file) = config.init.as_deref().filter(|init| builtin::name_of(init).is_none()) else {
        return Ok(());
    };
    for (name, tracks) in [("validation", &tracks.validation), ("test", &tracks.test)] {
        let had_tracks: Vec<&Track> = tracks.iter().map(|track| &track.track).collect();
        let known = had(file, &had_tracks)?.trained;
        if known > 0 {
            progress.note(&format!(
                "warning: {known} of the {} {name} tracks have trained the model of --init, so that the scores \
                 are too high; name others with --{name}, or begin from nothing",
                tracks.len()
            ));
        }
    }
    Ok(())
}

/// What may change in a run that goes on; it keeps that.
#[derive(Clone, Copy, Debug, Default)]
pub struct Changes<'a> {
    /// Where the audio has moved.
    pub audio_root: Option<&'a Path>,
    /// More epochs than it was to have.
    pub epochs: Option<u64>,
    /// More patience than it was to have.
    pub patience: Option<u64>,
}

/// Whether a manifest is, or was, a folder rather than a file.
fn is_folder(manifest: &Path) -> bool {
    manifest.is_dir() || (!manifest.exists() && manifest.extension().is_none())
}

impl Changes<'_> {
    fn any(&self) -> bool {
        self.audio_root.is_some() || self.epochs.is_some() || self.patience.is_some()
    }

    fn make(&self, config: &mut Config) -> Result<()> {
        if let Some(root) = self.audio_root {
            if config.data.synthetic_clips.is_some() {
                return Err(Error::input(
                    "--audio-root: the run composes its own corpus, so no audio of it can have moved; \
                     leave the flag out",
                ));
            }
            match config.data.data.as_deref().is_some_and(is_folder) {
                // Which is where its own paths start.
                true => config.data.data = Some(root.to_owned()),
                false => config.data.audio_root = Some(root.to_owned()),
            }
        }
        let train = &mut config.preset.train;
        if let Some(epochs) = self.epochs {
            if epochs < train.epochs {
                return Err(Error::input(format!(
                    "train.epochs = {epochs}: the run was to have {}, and can have more but not fewer; \
                     --max-steps ends it earlier",
                    train.epochs
                )));
            }
            if epochs > train.epochs && train.schedule == Schedule::Cosine {
                return Err(Error::input(
                    "train.epochs: the rate of train.schedule = \"cosine\" has come to nothing by the last \
                     epoch; start a new run, with --init to begin from this one's weights",
                ));
            }
            train.epochs = epochs;
        }
        if let Some(patience) = self.patience {
            match train.patience {
                Some(most) if patience >= most => train.patience = Some(patience),
                Some(most) => {
                    return Err(Error::input(format!(
                        "train.patience = {patience}: the run was to have {most}, and can have more but \
                         not less"
                    )));
                }
                None => {
                    return Err(Error::input(
                        "train.patience: the run never ends early, and cannot be made to",
                    ));
                }
            }
        }
        config.preset.validate()
    }
}

fn check_manifest_is_there(config: &Config, folder: &RunFolder) -> Result<()> {
    let manifest = config.data.data.as_deref().filter(|path| !path.exists());
    match manifest.filter(|_| config.data.synthetic_clips.is_none()) {
        None => Ok(()),
        Some(manifest) if is_folder(manifest) => Err(Error::input(format!(
            "{} is not there any more; where it has moved, name its new place with --audio-root",
            manifest.display()
        ))),
        Some(manifest) => Err(Error::input(format!(
            "{} is not there any more; where it has moved, write its new place into {}, as `data` of [data]",
            manifest.display(),
            folder.config().display()
        ))),
    }
}

/// Goes on with a run where it stopped; with no checkpoint yet it starts over.
pub fn resume(
    path: &Path,
    changes: Changes<'_>,
    device: &Device,
    until: Until<'_>,
    progress: &Progress,
) -> Result<Outcome> {
    if let Some(outcome) = finished(path, changes)? {
        if changes.audio_root.is_some() {
            return Err(Error::input(format!(
                "--audio-root: {} is finished and reads no audio any more; leave the flag out",
                path.display()
            )));
        }
        return Ok(outcome);
    }
    let folder = RunFolder::open(path)?;
    let _alone = folder.lock()?;
    let mut config = Config::read(&folder.config())?;
    changes.make(&mut config)?;
    check_manifest_is_there(&config, &folder)?;
    let cache = Arc::new(FeatureCache::open(None)?);
    config.synthesise(until.stop, progress)?;
    let mut preset = config.preset.clone();
    let hold_back =
        |tracks, moods: &[String]| match (folder.tracks().exists(), folder.last().exists()) {
            (true, _) => kept_split(&folder.tracks(), tracks, config.data.train_share.is_some()),
            // Early versions kept no list and did not look for copies.
            (false, true) => Split::by_artist(tracks, &[], config.split_seed()),
            (false, false) => config.draw_split(tracks, moods, &cache, until.stop, progress),
        };
    let tracks = config.data.tracks(&mut preset, &hold_back, progress)?;
    if preset != config.preset {
        return Err(Error::input(format!(
            "the moods of the training manifest have changed since {} was written: {} then, {} \
             now; restore the manifest, or start a new run",
            folder.config().display(),
            config.preset.moods.join(", "),
            preset.moods.join(", ")
        )));
    }
    let Task { config, tracks, .. } = hand_out(config, tracks, &folder)?;
    let go_on = || {
        let run =
            Run::prepare(config, folder.clone(), tracks, device, cache, until.stop, progress)?;
        if changes.any() {
            // All of the audio was found.
            run.config.write(&folder.config())?;
        }
        run.train(until, progress)
    };
    go_on().map_err(|error| error_with_way_on(error, &folder))
}

/// Starts a run in a folder, or goes on with it where it is there: for several runs by one command, which
/// is given again to go on.
///
/// # Errors
/// The run that is there was begun otherwise; as [`start`] and [`resume`].
pub fn start_or_resume(
    config: Config,
    path: &Path,
    device: &Device,
    until: Until<'_>,
    progress: &Progress,
) -> Result<Outcome> {
    let folder = RunFolder::at(path);
    if !folder.is_begun() {
        return start(config, path, device, until, progress);
    }
    let mut then = Config::read(&folder.config())?;
    // The manifest has settled these.
    then.preset.moods.clone_from(&config.preset.moods);
    then.device.clone_from(&config.device);
    if config.data.synthetic_clips.is_some() {
        then.data.data.clone_from(&config.data.data);
        then.data.audio_root.clone_from(&config.data.audio_root);
    }
    if let Some(difference) = differences(&then, &config, "")?.into_iter().next() {
        return Err(Error::input(format!(
            "{} was begun otherwise ({difference}); choose another --out",
            path.display()
        )));
    }
    resume(path, Changes::default(), device, until, progress)
}

/// The outcome of a run that has nothing left to do.
///
/// # Errors
/// `path` holds no run, its files are damaged, or its configuration is not the one that it was
/// trained with.
pub fn finished(path: &Path, changes: Changes<'_>) -> Result<Option<Outcome>> {
    let folder = RunFolder::open(path)?;
    let mut config = Config::read(&folder.config())?;
    changes.make(&mut config)?;
    let state = folder.last().exists().then(|| folder.description()).transpose()?;
    if let Some(state) = &state {
        check_same_config(&folder, state, &config)?;
    }
    let metrics = folder.read_metrics()?;
    let train = &config.preset.train;
    if !metrics.is_empty() && !folder.best().is_file() {
        return Err(Error::input(format!(
            "{} is missing, the best model of the {} epochs so far; restore it, or start a new run",
            folder.best().display(),
            metrics.len()
        )));
    }
    let Some(line) = metrics.last().filter(|_| is_over(&metrics, train)) else {
        return Ok(None);
    };
    if let Some(patience) = train.patience
        && changes.any()
        && changes.audio_root.is_none()
        && line.epoch < train.epochs
    {
        return Err(Error::input(format!(
            "{} ended at epoch {}, since no epoch was better for {patience}: to go on, raise train.patience as well \
             (--set train.patience={})",
            path.display(),
            line.epoch,
            2 * patience
        )));
    }
    let untested = config.data.test.is_some() && !folder.test_predictions().exists();
    let unreported = !folder.report().exists();
    // A kill may have come between the metrics and the state.
    if untested || unreported || state.is_none_or(|state| state.update < line.update) {
        return Ok(None);
    }
    let update = line.update;
    Outcome::new(folder, &config, update, metrics, Vec::new(), false).map(Some)
}

/// Tells how a run goes on that was stopped before its first update or has lost its device, and what
/// to change where the device cannot do so much.
fn error_with_way_on(error: Error, folder: &RunFolder) -> Error {
    match error.kind {
        Kind::Stopped | Kind::DeviceLost => error.followed_by(&format!(
            "go on with: moodshader train --resume {}",
            folder.path().display()
        )),
        Kind::TooLarge | Kind::OutOfMemory => error.followed_by(
            "start with a smaller batch (--set train.batch=…) or shorter clips (--set \
             audio.clip_seconds=…)",
        ),
        Kind::Input | Kind::Unread | Kind::Failure => error,
    }
}

impl Outcome {
    /// Of a rank that has no scores to tell.
    fn unjudged(
        folder: RunFolder,
        config: &Config,
        update: u64,
        metrics: Vec<EpochMetrics>,
        broken: Vec<Broken>,
        interrupted: bool,
    ) -> Self {
        let moods = config.preset.moods.clone();
        Self {
            folder,
            update,
            interrupted,
            metrics,
            pace: Vec::new(),
            moods,
            validation: None,
            test: None,
            broken,
        }
    }

    fn new(
        folder: RunFolder,
        config: &Config,
        update: u64,
        metrics: Vec<EpochMetrics>,
        broken: Vec<Broken>,
        interrupted: bool,
    ) -> Result<Self> {
        let scores = |path: &Path| -> Result<Option<Measured>> {
            if !path.exists() {
                return Ok(None);
            }
            read_predictions(path)?.measured().map(Some)
        };
        let validation = if metrics.is_empty() { None } else { scores(&folder.predictions())? };
        let test = if interrupted { None } else { scores(&folder.test_predictions())? };
        let unjudged = Self::unjudged(folder, config, update, metrics, broken, interrupted);
        Ok(Self { validation, test, ..unjudged })
    }
}
