//! `moodshader features`: spectrograms as `.npy` files.

use std::path::PathBuf;

use clap::Args;

use super::{Common, Strictness, list_errors, model, open_device_alike, run_again};
use crate::audio::find_audio;
use crate::dataset::cache::FeatureCache;
use crate::dataset::export::{Flawed, assist, export, jobs, open};
use crate::dataset::features::FeatureRecipe;
use crate::files::{check_distinct, names_note};
use crate::model::preset::Preset;
use crate::ranks::Ranks;
use crate::{Error, Result};

/// Write log-mel spectrograms: one float32 array [mels, frames] a file, as OUT/STEM.npy.
///
/// The values are before standardisation, of the file's centre clip: decibels, or log10(1 + 10000·S) where
/// features.scale is log10. A folder is searched
/// for audio files. Arrays that are whole and whose audio has not changed are kept, so that a call
/// that was stopped can be repeated; an array of another file is never replaced. OUT/recipe.txt says
/// what the numbers are, OUT/sources.jsonl what each array was made from. A broken file,
/// or a folder that cannot be listed, does not stop the rest: it is listed at the end, and the exit
/// status is 1.
#[derive(Args, Debug)]
pub struct Features {
    /// Audio files, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder to write.
    #[arg(long, short, value_name = "DIR")]
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
    strictness: Strictness,
    #[command(flatten)]
    common: Common,
}

impl Features {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let mut preset = match (&self.config, &self.model, &self.preset) {
            (Some(path), _, _) => Preset::from_file(path)?,
            (_, Some(path), _) => model::open(path)?.description()?.preset,
            (_, _, name) => Preset::named(name.as_deref().unwrap_or("paper"))?,
        };
        // The centre clip alone is written.
        preset.audio.windows = None;
        preset.validate()?;
        let recipe = FeatureRecipe::of(&preset);
        let ranks = Ranks::this();
        if !ranks.is_first() {
            // Where nothing is to do, no rank opens a device.
            return match ranks.hand_out(None)? {
                true => {
                    let device = open_device_alike(&self.common.device, &progress)?;
                    assist(&device, &recipe, &FeatureCache::open(None)?)
                }
                false => Ok(()),
            };
        }
        let mut found = find_audio(&self.paths)?;
        found.notes().chain(names_note(&found.files)).for_each(|note| progress.note(&note));
        let mut failed: Vec<Error> = found.unlisted.drain(..).map(|(_, error)| error).collect();
        let folders = failed.len();
        let all = jobs(std::mem::take(&mut found.files), &self.out)?;
        check_distinct(all.iter().map(|job| &job.array), all.iter().map(|job| &job.audio))?;
        let count = all.len();
        let cache = FeatureCache::open(None)?;
        let (todo, kept) = open(&self.out, &recipe, &cache, all)?;
        if todo.len() < count {
            progress.note(&format!("{} of {count} arrays are there already", count - todo.len()));
        }
        if ranks.hand_out(Some(!todo.is_empty()))? {
            let device = open_device_alike(&self.common.device, &progress)?;
            let bar = progress.bar("features", todo.len());
            let exported = export(&todo, &device, &recipe, &cache, &|done| bar.at(done))
                .map_err(|error| run_again(error, "arrays that were written are kept"))?;
            drop(bar);
            self.tell(kept.and(exported.flawed), preset.audio.clip_seconds);
            progress.note(&format!(
                "{} arrays written to {}",
                exported.written,
                self.out.display()
            ));
            failed.extend(self.strictness.sort_out(&found, exported.failed, &progress));
        } else {
            self.tell(kept, preset.audio.clip_seconds);
        }
        if failed.is_empty() {
            return Ok(());
        }
        let all = count + folders;
        Err(list_errors(&format!("{} of {all} files cannot be used:", failed.len()), &failed))
    }

    fn tell(&self, flawed: Flawed, clip_seconds: f64) {
        let progress = self.common.progress();
        for (number, what) in [
            (flawed.padded, &*format!("are shorter than {clip_seconds} s and padded with silence")),
            (flawed.truncated, "end before their header says; what is there is used"),
            (flawed.damaged, "have parts that cannot be decoded and are silent"),
        ] {
            if number > 0 {
                progress.note(&format!("{number} files {what}"));
            }
        }
    }
}
