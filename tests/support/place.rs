//! A small corpus, and the program run on it as people run it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use moodshader::model::checkpoint::Checkpoint;
use tempfile::TempDir;

pub use tones::MOODS;

#[path = "tones.rs"]
mod tones;

/// 11 training clips make three updates an epoch, the last one of three clips.
const TRAINING: &str = "[train]\nepochs = 3\nbatch = 4\n";
pub const CLIPS: usize = 14;

/// A small corpus and a cache of its own.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        fs::create_dir(place.path("größe")).unwrap();
        let preset = [tones::MODEL, tones::VERTICAL, TRAINING].concat();
        fs::write(place.path("tiny.toml"), preset).unwrap();
        let rows: Vec<String> = (0..CLIPS).map(|index| place.clip(index)).collect();
        place.manifest("data.csv", &rows);
        place
    }

    /// Writes clip `index` and gives its row.
    pub fn clip(&self, index: usize) -> String {
        let listed = format!("größe/{index}, take 1.wav");
        let pitch = 0.05 * (1 + index % 3) as f32;
        tones::wav(&self.path(&listed), pitch, 24_000, index as u32 + 1);
        let second = if index.is_multiple_of(4) { "|epic" } else { "" };
        format!("\"{listed}\",{}{second}", MOODS[index % 3])
    }

    pub fn manifest(&self, name: &str, rows: &[String]) {
        fs::write(self.path(name), format!("path,tags\n{}\n", rows.join("\n"))).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn command(&self, arguments: &str) -> Command {
        tones::program(self.0.path(), arguments)
    }

    pub fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs what must succeed; what it wrote to standard output and standard error.
    pub fn ok(&self, arguments: &str) -> (String, String) {
        let output = self.run(arguments);
        let (out, err) = texts(&output);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {err}");
        (out, err)
    }

    pub fn train(&self, more: &str) -> (String, String) {
        self.ok(&format!("train --config tiny.toml --data data.csv {more}"))
    }

    /// Every file of a run folder.
    pub fn files(&self, run: &str) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.path(run))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read(path).unwrap())
            })
            .collect()
    }

    pub fn same(&self, one: &str, other: &str) {
        let (one, other) = (self.files(one), self.files(other));
        assert!(one.keys().eq(other.keys()), "{:?} and {:?}", one.keys(), other.keys());
        for (name, bytes) in &one {
            let same = match &**name {
                "report.html" => unmeasured(bytes) == unmeasured(&other[name]),
                _ => *bytes == other[name],
            };
            assert!(same, "{name} differs");
        }
    }

    pub fn checkpoint(&self, path: &str) -> Checkpoint {
        Checkpoint::read(&self.path(path)).unwrap()
    }
}

/// A report without what the clock measured, the one part that differs from run to run.
fn unmeasured(report: &[u8]) -> String {
    let text = String::from_utf8(report.to_vec()).unwrap();
    let (before, rest) = text.split_once("<section id=\"throughput\"").unwrap();
    let (_, after) = rest.split_once("</section>").unwrap();
    before.to_owned() + after
}

pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}
