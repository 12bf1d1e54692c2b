//! `moodshader synth`: writes the synthetic corpus.

use std::path::PathBuf;

use clap::Args;

use crate::dataset::synthetic::{CorpusSpec, MANIFEST, generate};
use crate::output;
use crate::report::Progress;
use crate::{Error, Result};

/// Compose a synthetic corpus: songs of 30 s as WAV files and their manifest.
#[derive(Args, Debug)]
pub struct Synth {
    /// The folder to write.
    #[arg(long, short, value_name = "DIR")]
    out: PathBuf,
    /// Songs to compose.
    #[arg(long, default_value_t = 96, value_parser = clap::value_parser!(u32).range(1..))]
    clips: u32,
    /// Another seed gives other songs.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Deal the labels out anew, so that there is nothing to learn: a control.
    #[arg(long)]
    shuffle_labels: bool,
    /// Show warnings and errors only.
    #[arg(long)]
    quiet: bool,
}

/// Of `paper`'s clips.
const SECONDS: f64 = 30.0;

impl Synth {
    pub fn run(&self) -> Result<()> {
        let progress = Progress::new(self.quiet);
        let spec = CorpusSpec {
            clips: self.clips as usize,
            clip_seconds: SECONDS,
            seed: self.seed,
            shuffle_labels: self.shuffle_labels,
        };
        let manifest = self.out.join(MANIFEST);
        if manifest.exists() {
            return Err(Error::input(format!(
                "{} is already there and would be overwritten; choose another --out",
                manifest.display()
            )));
        }
        let entries = std::fs::read_dir(&self.out);
        if entries.is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Error::input(format!(
                "{} holds other files; choose a new folder as --out",
                self.out.display()
            )));
        }
        let bar = progress.bar("composing", spec.clips);
        let manifest = generate(&spec, &self.out, &|done| {
            bar.at(done);
            Ok(())
        })?;

        output::line(manifest.display());
        Ok(())
    }
}
