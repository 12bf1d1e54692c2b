//! `--model`: a checkpoint's file, or the name of a model that the program brings along.

use std::num::NonZeroUsize;
use std::path::Path;
use std::str::FromStr;

use super::run_again;
use crate::Result;
use crate::exec::Device;
use crate::model::builtin;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::predict::Tagger;
use crate::report::Progress;

/// Reads it.
///
/// # Errors
/// There is no such file, or it is no checkpoint.
pub fn open(model: &Path) -> Result<Checkpoint> {
    match builtin::name_of(model) {
        Some(name) => builtin::checkpoint(name),
        None => Checkpoint::read(model).map_err(|error| match model.exists() {
            true => error,
            false => error.followed_by(&format!(
                "--model takes a checkpoint, such as best.safetensors of a run, or one of {}",
                builtin::names().collect::<Vec<_>>().join(", ")
            )),
        }),
    }
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
    checkpoint: &Checkpoint,
    model: &Path,
    windows: Option<Windows>,
    device: &Device,
) -> Result<Tagger> {
    let mut tagger = Tagger::new(checkpoint, device)
        .map_err(|error| run_again(error, "nothing is done yet").context(model.display()))?;
    if let Some(Windows(windows)) = windows {
        tagger.set_windows(windows);
    }
    Ok(tagger)
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
