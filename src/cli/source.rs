//! What `train` and `compare` share: the flags that name the music, changes to a preset, and the
//! folder that a training takes by default.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;

use crate::model::preset::Preset;
use crate::run::Data;
use crate::{Error, Result};

/// The keys of a preset that are changed most, and all others.
#[derive(Args, Debug)]
pub struct Sets {
    /// Change a key of the preset, such as train.batch=16; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// Passes over the training clips: short for --set train.epochs=N.
    #[arg(long, value_name = "N")]
    epochs: Option<String>,
    /// Clips an update: short for --set train.batch=N.
    #[arg(long, value_name = "N")]
    batch: Option<String>,
    /// Adam's step size: short for --set train.learning_rate=X.
    #[arg(long, value_name = "X", alias = "learning-rate")]
    lr: Option<String>,
}

impl Sets {
    /// KEY=VALUE of each; what is repeated with --set comes later and counts.
    pub fn all(&self) -> Vec<String> {
        let short = [
            ("train.epochs", &self.epochs),
            ("train.batch", &self.batch),
            ("train.learning_rate", &self.lr),
        ];
        let set =
            |(key, value): (&str, &Option<String>)| Some(format!("{key}={}", value.as_ref()?));
        short.into_iter().filter_map(set).chain(self.sets.iter().cloned()).collect()
    }
}

/// Where the clips come from.
#[derive(Args, Debug)]
pub struct Source {
    /// The moods to learn: a list such as happy,dark, or all (every tag of the manifest). By default all
    /// of a folder or a CSV, and the preset's of MTG-Jamendo's TSV.
    #[arg(long)]
    moods: Option<String>,
    /// The training manifest: a folder per mood, a CSV `path,tags`, or MTG-Jamendo's TSV.
    #[arg(value_name = "MANIFEST", conflicts_with = "data")]
    manifest: Option<PathBuf>,
    /// The training manifest, by name.
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
        self.manifest().is_some()
    }

    /// Whether moods are named.
    pub fn names_moods(&self) -> bool {
        self.moods.is_some()
    }

    fn manifest(&self) -> Option<&Path> {
        self.manifest.as_deref().or(self.data.as_deref())
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
            if value.is_some() && !self.is_given() {
                return Err(needs_data(flag));
            }
        }
        let synthetic_clips = if clip_seconds > 10.0 { 96 } else { 500 };
        Ok(Data {
            synthetic_clips: (!self.is_given()).then_some(synthetic_clips),
            data: self.manifest().map(absolute("--data")).transpose()?,
            audio_root: self.audio_root()?,
            validation: self.validation.as_deref().map(absolute("--validation")).transpose()?,
            moods: self.moods.clone(),
            ..Data::default()
        })
    }
}

/// What a flag that says more about the user's music means without it.
pub fn needs_data(flag: &str) -> Error {
    Error::input(format!(
        "{flag} goes with a manifest (--data); without one, the corpus is a synthetic one"
    ))
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
