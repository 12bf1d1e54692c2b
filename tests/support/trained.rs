//! A small model, trained for a moment on tones, and the program to use it with.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use moodshader::model::checkpoint::Checkpoint;
use tempfile::TempDir;

pub use tones::MOODS;

#[path = "tones.rs"]
pub mod tones;

const TRAINING: &str =
    "[train]\nepochs = 15\nbatch = 4\nlearning_rate = 0.02\ndecay_epochs = 100\n";

/// A folder with a corpus, a cache of its own, and a run in `run`.
pub struct Trained(TempDir);

impl Trained {
    pub fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        let preset = [tones::MODEL, tones::VERTICAL, TRAINING].concat();
        fs::write(place.path("tiny.toml"), preset).unwrap();
        for (name, clips) in [("train", 0..12), ("validation", 12..20)] {
            let rows: Vec<String> = clips.map(|index| place.clip(index)).collect();
            fs::write(
                place.path(&format!("{name}.csv")),
                format!("path,tags\n{}\n", rows.join("\n")),
            )
            .unwrap();
        }
        let train =
            "train --config tiny.toml --data train.csv --validation validation.csv --out run";
        let (code, _, err) = place.run(train);
        assert_eq!(code, 0, "{err}");
        place
    }

    /// Writes clip `index` and gives its row: the pitch tells the mood.
    fn clip(&self, index: usize) -> String {
        let listed = format!("clip {index}.wav");
        wav(&self.path(&listed), 0.05 * (1 + index % 3) as f32, 24_000);
        let second = if index.is_multiple_of(4) { "|epic" } else { "" };
        format!("{listed},{}{second}", MOODS[index % 3])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn checkpoint(&self, name: &str) -> Checkpoint {
        Checkpoint::read(&self.path(name)).unwrap()
    }

    /// Runs the program in the folder: exit status, standard output, standard error.
    pub fn run(&self, arguments: &str) -> (i32, String, String) {
        let command = tones::program(self.0.path(), arguments).output();
        let Output { status, stdout, stderr } = command.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    /// Runs what must succeed; its standard output.
    pub fn ok(&self, arguments: &str) -> String {
        let (code, out, err) = self.run(arguments);
        assert_eq!(code, 0, "{arguments}: {err}");
        out
    }
}

/// A tone whose noise its length decides, as 16-bit WAV.
pub fn wav(path: &Path, pitch: f32, samples: usize) {
    tones::wav(path, pitch, samples, samples as u32);
}
