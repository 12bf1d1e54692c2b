//! What `train` and `compare` share: the flags that name the music, changes to a preset, and the
//! folder that a training takes by default.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;

use crate::model::preset::Preset;
use crate::run::Data;
use crate::{Error, Result};

/// Where the clips come from.
#[derive(Args, Debug)]
pub struct Source {
    /// The moods to learn: a list such as happy,dark, or all (the tags of --data).
    #[arg(long)]
    moods: Option<String>,
    /// The training manifest: MTG-Jamendo's TSV, a CSV `path,tags`, or a folder per mood.
    #[arg(long, value_name = "MANIFEST")]
    data: Option<PathBuf>,
    /// The folder that the manifests' paths are relative to.
    #[arg(long, value_name = "DIR")]
    audio_root: Option<PathBuf>,
    /// Validate on this manifest; all of --data trains then. Without, a fifth is held back.
    #[arg(long, value_name = "MANIFEST")]
    validation: Option<PathBuf>,
}

impl Source {
    /// Whether it names music; else the synthetic corpus is taken.
    pub fn is_given(&self) -> bool {
        self.data.is_some()
    }

    /// `--audio-root`, resolved.
    pub fn audio_root(&self) -> Result<Option<PathBuf>> {
        self.audio_root.as_deref().map(absolute("--audio-root")).transpose()
    }

    /// The flags, with absolute paths; a synthetic corpus is as large as trains in minutes on clips
    /// of so many seconds.
    pub fn data(&self, clip_seconds: f64) -> Result<Data> {
        for (flag, value) in
            [("--audio-root", &self.audio_root), ("--validation", &self.validation)]
        {
            if value.is_some() && self.data.is_none() {
                return Err(needs_data(flag));
            }
        }
        let synthetic_clips = if clip_seconds > 10.0 { 96 } else { 500 };
        Ok(Data {
            synthetic_clips: self.data.is_none().then_some(synthetic_clips),
            data: self.data.as_deref().map(absolute("--data")).transpose()?,
            audio_root: self.audio_root()?,
            validation: self.validation.as_deref().map(absolute("--validation")).transpose()?,
            moods: self.moods.clone(),
            ..Data::default()
        })
    }
}

/// What a flag that says more about the user's music means without it.
pub fn needs_data(flag: &str) -> Error {
    Error::input(format!("{flag} goes with --data; without that, the corpus is a synthetic one"))
}

/// The path that a flag names, resolved.
pub fn absolute(flag: &str) -> impl Fn(&Path) -> Result<PathBuf> {
    move |path| {
        path.canonicalize().map_err(|error| {
            let error = Error::io("open", path, &error).context(flag);
            match path.is_relative() {
                true => error.followed_by("the path starts from the folder you are in"),
                false => error.followed_by("check the path"),
            }
        })
    }
}

/// Changes a preset by every `--set`, and makes sure that it can work.
pub fn apply(sets: &[String], preset: &mut Preset) -> Result<()> {
    for set in sets {
        let (key, value) = set.split_once('=').ok_or_else(|| {
            Error::input(format!("--set {set}: expected KEY=VALUE, such as train.batch=16"))
        })?;
        preset.set(key, value).map_err(|error| error.context(format!("--set {set}")))?;
    }
    preset.validate()
}

/// `runs/NAME-TIME`.
pub fn default_out(name: &str) -> PathBuf {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    Path::new("runs").join(format!("{name}-{}", now.replace(['-', ':'], "")))
}
