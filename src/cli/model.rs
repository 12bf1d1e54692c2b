//! `--model`: a checkpoint's file, a run's folder, or the name of a model that the program brings along.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;

use super::run_again;
use crate::dataset::manifest::Track;
use crate::exec::Device;
use crate::model::builtin;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::predict::Tagger;
use crate::predict::library::Library;
use crate::report::Progress;
use crate::run::{Config, Had, RunFolder, had, is_over};
use crate::{Error, Result};

/// `MODEL` or `--model MODEL`.
#[derive(Args, Debug)]
pub struct Named {
    /// A run's folder, a checkpoint such as its best.safetensors, or a built-in model: musicnn-msd or
    /// musicnn-mtt.
    #[arg(value_name = "MODEL", required_unless_present = "model", conflicts_with = "model")]
    place: Option<PathBuf>,
    /// The model, by name.
    #[arg(long, short, value_name = "MODEL")]
    model: Option<PathBuf>,
}

impl Named {
    /// As it was given.
    pub fn path(&self) -> &Path {
        let given = self.place.as_deref().or(self.model.as_deref());
        given.expect("the parser asks for one")
    }
}

/// Reads it.
///
/// # Errors
/// There is no such file, or it is no checkpoint.
pub fn open(model: &Path) -> Result<Checkpoint> {
    match builtin::name_of(model) {
        Some(name) => builtin::checkpoint(name),
        None => Checkpoint::read(&file_of(model)?).map_err(|error| match model.exists() {
            true => error,
            false => error.followed_by(&format!(
                "--model takes a run's folder, a checkpoint such as its best.safetensors, or one of {}",
                builtin::names().collect::<Vec<_>>().join(", ")
            )),
        }),
    }
}

/// The checkpoint that is meant: of a run's folder the best one.
///
/// # Errors
/// The folder holds none.
pub fn file_of(model: &Path) -> Result<PathBuf> {
    if !model.is_dir() {
        return Ok(model.to_owned());
    }
    let folder = RunFolder::at(model);
    let best = folder.best();
    match (best.is_file(), folder.is_begun()) {
        (true, _) => Ok(best),
        (false, true) if folder.has_results() => Err(Error::input(format!(
            "{} is missing, the best model of the run; restore it, or name last.safetensors beside it",
            best.display()
        ))),
        (false, true) => Err(Error::input(format!(
            "{0} is a run without a model yet: no epoch of it has ended; go on with: moodshader train \
             --resume {0}",
            model.display()
        ))),
        (false, false) if !runs_in(model).is_empty() => Err(Error::input(format!(
            "{0} holds several runs, which answer together in predict and evaluate alone; name one of them, such as \
             {1}",
            model.display(),
            runs_in(model)[0].display()
        ))),
        (false, false) => Err(Error::input(format!(
            "{} is a folder without best.safetensors, so no run; --model takes a run's folder or a \
             checkpoint",
            model.display()
        ))),
    }
}

/// How many of the tracks the models have had, of several the one that has had most: a run keeps a list beside
/// it.
///
/// # Errors
/// The list is damaged.
pub fn had_tracks(models: &[PathBuf], tracks: &[Track]) -> Result<Had> {
    let tracks: Vec<&Track> = tracks.iter().collect();
    let mut most = Had::default();
    let own = models.iter().filter(|model| builtin::name_of(model).is_none());
    for model in own.flat_map(|model| each(model)) {
        let Had { trained, chosen_by } = had(&file_of(&model)?, &tracks)?;
        most.trained = most.trained.max(trained);
        most.chosen_by = most.chosen_by.max(chosen_by);
    }
    Ok(most)
}

/// The files of what is meant, which no result may overwrite: a run is more than its best model.
pub fn files<'a>(models: impl IntoIterator<Item = &'a PathBuf>) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for model in models {
        for place in each(model) {
            match std::fs::read_dir(&place) {
                Ok(entries) => all.extend(entries.flatten().map(|entry| entry.path())),
                Err(_) => all.push(place),
            }
        }
    }
    all
}

/// The models that are meant: one, or all of a folder that `train --seeds` wrote.
///
/// # Errors
/// As [`open`].
pub fn open_all(models: &[PathBuf]) -> Result<Vec<Checkpoint>> {
    models.iter().flat_map(|model| each(model)).map(|model| open(&model)).collect()
}

/// Itself, or the runs in a folder of several.
pub fn each(model: &Path) -> Vec<PathBuf> {
    let runs = runs_in(model);
    if runs.is_empty() { vec![model.to_owned()] } else { runs }
}

/// The runs in a folder of several, by seed.
pub fn runs_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let seed = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("seed-")?.parse().ok()
    };
    let mut runs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && seed(path).is_some())
        .collect();
    runs.sort_by_key(seed);
    runs
}

/// Says how many models answer, where it is not one, and of which runs the training is not over.
pub fn count(models: &[PathBuf], progress: &Progress) {
    let all: Vec<PathBuf> = models.iter().flat_map(|model| each(model)).collect();
    if all.len() > 1 {
        progress.note(&format!("{} models answer together", all.len()));
    }
    for run in all.iter().filter(|model| is_under_way(model)) {
        progress.note(&format!(
            "{0} is not finished, and what was best so far answers; it goes on with: moodshader train \
             --resume {0}",
            run.display()
        ));
    }
}

/// Whether it is a run's folder, and epochs are left to train.
fn is_under_way(model: &Path) -> bool {
    let folder = RunFolder::at(model);
    let over = || -> Result<bool> {
        Ok(is_over(&folder.read_metrics()?, &Config::read(&folder.config())?.preset.train))
    };
    folder.is_begun() && over().is_ok_and(|over| !over)
}

/// Says what a built-in model is.
pub fn introduce(model: &Path, description: &Description, progress: &Progress) {
    if let (Some(name), Some(source)) = (builtin::name_of(model), &description.source) {
        progress.note(&format!("model: {name}: {source}; --model takes your own"));
    }
}

/// Makes it ready.
///
/// # Errors
/// The device cannot hold it.
pub fn tagger(
    checkpoints: &[Checkpoint],
    model: &Path,
    windows: Option<Windows>,
    device: &Device,
) -> Result<Tagger> {
    let mut tagger = Tagger::ensemble(checkpoints, device)
        .map_err(|error| run_again(error, "nothing is done yet").context(model.display()))?;
    if let Some(Windows(windows)) = windows {
        tagger.set_windows(windows);
    }
    Ok(tagger)
}

/// Opens what the models have heard before.
pub fn library(
    models: &[PathBuf],
    checkpoints: &[Checkpoint],
    tagger: &mut Tagger,
    device: &Device,
    progress: &Progress,
) -> Library {
    let stem = models[0].file_stem().unwrap_or_default().to_string_lossy();
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    let name: String = stem.chars().filter(|&letter| plain(letter)).take(40).collect();
    let name = if name.is_empty() { "model".to_owned() } else { name };
    let library = Library::open(&name, checkpoints, tagger, device.identity());
    if let Some(problem) = library.problem() {
        progress.note(&problem);
    }
    library
}

/// The value of `--windows`: how many clips of a file are heard, or all.
#[derive(Clone, Copy, Debug)]
pub struct Windows(Option<usize>);

impl FromStr for Windows {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = || text.parse::<NonZeroUsize>().ok().map(NonZeroUsize::get);
        match text {
            "all" => Ok(Self(None)),
            _ => {
                number().map(|n| Self(Some(n))).ok_or_else(|| "a number above 0, or all".to_owned())
            }
        }
    }
}
