//! `config.toml` of a run: everything that `--resume` needs, resolved.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::write_atomically;
use crate::model::preset::Preset;
use crate::{Error, Result};

/// What a run was started with. How far it was told to go is not part of it: a run that was
/// stopped early goes on to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The preset's name, or the file it was read from.
    pub preset_name: String,
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// As asked for.
    pub device: String,
    /// Weights to start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub init: Option<PathBuf>,
    /// Where the clips come from.
    pub data: Data,
    /// Everything that is computed with.
    pub preset: Preset,
}

/// Where the clips come from; absolute paths.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Clips of the synthetic corpus; `data` then names its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic_clips: Option<usize>,
    /// Seconds of each of them, where that is not the preset's clip length: models with clips of
    /// several lengths are compared on one corpus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic_seconds: Option<f64>,
    /// Seed of the split and of the synthetic corpus, where that is not the run's: runs with several
    /// seeds are compared on the same clips.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// The training manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<PathBuf>,
    /// What relative paths in the manifests start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_root: Option<PathBuf>,
    /// The validation manifest; without, a part of `data` is held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// The test manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// `--moods` as given: the labels themselves are the preset's `moods`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moods: Option<String>,
    /// Tracks with none of the labels are trained and judged on as examples of no mood; where each mood has a
    /// probability of its own. Runs of early versions left them out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negatives: bool,
    /// Share of the training tracks that is trained on, where that is not all: for a learning curve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_share: Option<f64>,
}

impl Data {
    /// What the training manifest's paths start from.
    pub fn root(&self) -> Option<PathBuf> {
        let data = self.data.as_deref()?;
        let own = if data.is_dir() { Some(data) } else { data.parent() };
        self.audio_root.as_deref().or(own).map(Path::to_owned)
    }

    /// The training data for people: the manifest's name.
    pub fn name(&self) -> String {
        match (&self.synthetic_clips, &self.data) {
            (None, Some(path)) => {
                path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
            }
            _ => "the synthetic corpus".to_owned(),
        }
    }
}

impl Config {
    /// Reads `config.toml`.
    ///
    /// # Errors
    /// The file cannot be read, or its preset cannot work.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|error| Error::io("read", path, &error))?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            Error::input(format!("{} is damaged: {}", path.display(), error.to_string().trim()))
        })?;
        config.preset.validate().map_err(|error| error.context(path.display()))?;
        Ok(config)
    }

    /// Writes `config.toml`, at once for whoever looks.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self)
            .map_err(|error| Error::input(format!("cannot write {}: {error}", path.display())))?;
        write_atomically(path, text.as_bytes())
    }
}
