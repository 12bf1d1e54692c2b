//! `moodshader features`: spectrograms as `.npy` files.

use std::path::PathBuf;

use clap::Args;

use super::{Common, open_device};
use crate::audio::find_audio;
use crate::dataset::cache::FeatureCache;
use crate::dataset::export::{export, jobs, open};
use crate::dataset::features::FeatureRecipe;
use crate::error::Kind;
use crate::model::checkpoint::Checkpoint;
use crate::model::preset::Preset;
use crate::{Error, Result};

/// Write log-mel spectrograms: one float32 array [mels, frames] a file, as OUT/STEM.npy.
///
/// The values are decibels before standardisation, of the file's centre clip. A folder is searched
/// for audio files. Arrays that are whole and whose audio has not changed are kept, so that a call
/// that was stopped can be repeated; an array of another file is never replaced. OUT/recipe.txt says
/// what the numbers are, OUT/sources.jsonl what each array was made from. A file that cannot be used
/// does not stop the rest: it is listed at the end, and the exit status is 2.
#[derive(Args, Debug)]
pub struct Features {
    /// Audio files, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The built-in preset whose recipe to follow; paper by default.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["config", "model"])]
    preset: Option<String>,
    /// A preset file (TOML) whose recipe to follow.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    config: Option<PathBuf>,
    /// A checkpoint whose recipe to follow.
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

impl Features {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let preset = match (&self.config, &self.model, &self.preset) {
            (Some(path), _, _) => Preset::from_file(path)?,
            (_, Some(path), _) => Checkpoint::read(path)?.description()?.preset,
            (_, _, name) => Preset::named(name.as_deref().unwrap_or("paper"))?,
        };
        preset.validate()?;
        let recipe = FeatureRecipe::of(&preset);
        let found = find_audio(&self.paths)?;
        if let Some(note) = found.note() {
            progress.note(&note);
        }
        let all = jobs(found.files, &self.out)?;
        let count = all.len();
        let cache = FeatureCache::open(None)?;
        let todo = open(&self.out, &recipe, &cache, all)?;
        if todo.len() < count {
            progress.note(&format!("{} of {count} arrays are there already", count - todo.len()));
        }
        if todo.is_empty() {
            return Ok(());
        }
        let device = open_device(&self.common.device, &progress)?;
        let bar = progress.bar("features", todo.len());
        let exported = export(&todo, &device, &recipe, &cache, &|done| bar.at(done))?;
        drop(bar);
        let seconds = preset.audio.clip_seconds;
        for (number, what) in [
            (exported.padded, format!("are shorter than {seconds} s and padded with silence")),
            (exported.truncated, "end before their header says; what is there is used".to_owned()),
            (exported.damaged, "have parts that cannot be decoded and are silent".to_owned()),
        ] {
            if number > 0 {
                progress.note(&format!("{number} files {what}"));
            }
        }
        progress.note(&format!("{} arrays written to {}", exported.written, self.out.display()));
        if exported.failed.is_empty() {
            return Ok(());
        }
        let number = exported.failed.len();
        let input = exported.failed.iter().all(|(_, error)| error.kind == Kind::Input);
        let mut message = format!("{number} of {count} files cannot be used:");
        for (_, error) in exported.failed {
            message.push_str(&format!("\n  {error}"));
        }
        Err(if input { Error::input(message) } else { Error::failure(message) })
    }
}
