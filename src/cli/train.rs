//! `moodshader train`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use clap::Args;

use super::{Common, open_device};
use crate::model::preset::Preset;
use crate::report::Progress;
use crate::train::{Config, Data, Outcome, RunFolder, best, resume, start, synthesise};
use crate::{Error, Result};

/// Train a model; without data, on a synthetic corpus.
#[derive(Args, Debug)]
pub struct Train {
    /// A built-in preset: paper or demo. Without data demo is the default, with data paper.
    #[arg(long, conflicts_with = "config")]
    preset: Option<String>,
    /// A preset file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Change a key of the preset, such as train.batch=16; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// The moods to learn: a list such as happy,dark, or all (the tags of --data).
    #[arg(long)]
    moods: Option<String>,
    /// The training manifest: MTG-Jamendo's TSV, a CSV `path,tags`, or a folder per mood.
    #[arg(long, value_name = "MANIFEST")]
    data: Option<PathBuf>,
    /// The folder that the manifests' paths are relative to.
    #[arg(long, value_name = "DIR", requires = "data")]
    audio_root: Option<PathBuf>,
    /// Validate on this manifest; all of --data trains then. Without, a fifth is held back.
    #[arg(long, value_name = "MANIFEST", requires = "data")]
    validation: Option<PathBuf>,
    /// Score the best model on this manifest at the end.
    #[arg(long, value_name = "MANIFEST", requires = "data")]
    test: Option<PathBuf>,
    /// The run folder; runs/PRESET-TIME by default.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder; everything else comes from its config.toml.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "preset", "config", "sets", "moods", "data", "out", "init", "max_steps", "seed",
    ])]
    resume: Option<PathBuf>,
    /// Start from the weights of this file (a checkpoint, or safetensors with its names).
    #[arg(long, value_name = "FILE")]
    init: Option<PathBuf>,
    /// Stop after this many updates in all, as Ctrl-C would.
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// Of the split, the first weights, the order of the clips, dropout and the synthetic corpus.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    common: Common,
}

/// Clips of the synthetic corpus: as many as train in minutes.
fn synthetic_clips(preset: &Preset) -> usize {
    if preset.audio.clip_seconds > 10.0 { 96 } else { 500 }
}

impl Train {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let stop = stop_on_interrupt(&progress)?;
        let outcome = match &self.resume {
            Some(path) => {
                let config = Config::read(&RunFolder::open(path)?.config())?;
                // --device may name another one than the run began on.
                let asked =
                    if self.common.device == "auto" { &config.device } else { &self.common.device };
                let device = open_device(asked, &progress)?;
                resume(path, &device, &stop, &progress)?
            }
            None => {
                let (mut config, out) = self.config()?;
                if out.join("config.toml").exists() {
                    RunFolder::create(&out)?;
                }
                let device = open_device(&config.device, &progress)?;
                if let Some(clips) = config.data.synthetic_clips {
                    let manifest = synthesise(&config.preset, clips, config.seed, &progress)?;
                    config.data.audio_root = manifest.parent().map(Path::to_owned);
                    config.data.data = Some(manifest);
                }
                start(config, &out, &device, &stop, &progress)?
            }
        };
        report(&outcome, &progress);
        Ok(())
    }

    /// The resolved configuration and the run folder.
    fn config(&self) -> Result<(Config, PathBuf)> {
        let (name, mut preset) = match (&self.preset, &self.config) {
            (_, Some(path)) => {
                let name = path.file_stem().unwrap_or(path.as_os_str());
                (name.to_string_lossy().into_owned(), Preset::from_file(path)?)
            }
            (Some(name), None) => (name.clone(), Preset::named(name)?),
            (None, None) => {
                let name = if self.data.is_some() { "paper" } else { "demo" };
                (name.to_owned(), Preset::named(name)?)
            }
        };
        for set in &self.sets {
            let (key, value) = set.split_once('=').ok_or_else(|| {
                Error::input(format!("--set {set}: expected KEY=VALUE, such as train.batch=16"))
            })?;
            preset.set(key, value).map_err(|error| error.context(format!("--set {set}")))?;
        }
        preset.validate()?;

        let data = Data {
            synthetic_clips: self.data.is_none().then(|| synthetic_clips(&preset)),
            data: self.data.as_deref().map(absolute).transpose()?,
            audio_root: self.audio_root.as_deref().map(absolute).transpose()?,
            validation: self.validation.as_deref().map(absolute).transpose()?,
            test: self.test.as_deref().map(absolute).transpose()?,
            moods: self.moods.clone(),
        };
        let out = match &self.out {
            Some(out) => out.clone(),
            None => {
                let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
                Path::new("runs").join(format!("{name}-{}", now.replace(['-', ':'], "")))
            }
        };
        let config = Config {
            preset_name: name,
            seed: self.seed,
            device: self.common.device.clone(),
            max_steps: self.max_steps,
            init: self.init.as_deref().map(absolute).transpose()?,
            data,
            preset,
        };
        Ok((config, out))
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    path.canonicalize().map_err(|error| Error::io("open", path, &error))
}

/// The first Ctrl-C ends training after the current update, the second one at once.
fn stop_on_interrupt(progress: &Progress) -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let progress = progress.clone();
    ctrlc::set_handler(move || {
        if flag.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        progress.note("stopping after this update; press Ctrl-C again to stop at once");
    })
    .map_err(|error| Error::failure(format!("cannot listen for Ctrl-C: {error}")))?;
    Ok(stop)
}

/// The result, on standard output.
fn report(outcome: &Outcome, progress: &Progress) {
    let folder = outcome.folder.path().display();
    if let Some(line) = best(&outcome.metrics) {
        println!("best epoch {} of {}", line.epoch, outcome.metrics.len());
        for (mood, auc) in &line.roc_auc {
            match auc.as_f64() {
                // The macro mean comes first.
                Some(auc) if mood == "macro" => println!("validation macro ROC-AUC {auc:.4}"),
                Some(auc) => println!("  {mood:<12} {auc:.4}"),
                None => println!("  {mood:<12} undefined (all clips have it, or none)"),
            }
        }
    }
    if let Some(scores) = &outcome.test {
        match scores.roc_auc.macro_mean {
            Some(auc) => println!("test macro ROC-AUC {auc:.4}"),
            None => println!("test macro ROC-AUC undefined"),
        }
    }
    println!("{folder}");
    if outcome.interrupted {
        progress.note(&format!(
            "stopped after update {}; go on with: moodshader train --resume {folder}",
            outcome.update
        ));
    }
}
