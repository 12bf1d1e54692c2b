//! A small model, trained for a moment on tones, and the program to use it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use moodshader::model::checkpoint::Checkpoint;
use tempfile::TempDir;

const PRESET: &str = r#"
moods = ["happy", "dark", "epic"]
[audio]
clip_seconds = 1.0
[features]
n_fft = 512
hop = 256
mels = 32
[[model.branch]]
name = "horizontal"
kernel = [1, 5]
channels = [3, 4]
pool = [2, 2]
lstm = [8, 4]
[[model.branch]]
name = "vertical"
kernel = [5, 1]
channels = [4, 5]
pool = [4, 4]
lstm = [8, 4]
[train]
epochs = 15
batch = 4
learning_rate = 0.02
decay_epochs = 100
"#;

pub const MOODS: [&str; 3] = ["happy", "dark", "epic"];

/// A folder with a corpus, a cache of its own, and a run in `run`.
pub struct Trained(TempDir);

impl Trained {
    pub fn new() -> Self {
        let place = Self(TempDir::new().unwrap());
        fs::write(place.path("tiny.toml"), PRESET).unwrap();
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
        let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_moodshader"))
            .args(arguments.split_whitespace())
            .current_dir(self.0.path())
            .env("MOODSHADER_CACHE", self.path("cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
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

/// A tone with some noise, 22 050 Hz.
pub fn tone(pitch: f32, samples: usize) -> Vec<f32> {
    let mut noise = samples as u32;
    (0..samples)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sample = 8000.0 * (pitch * n as f32).sin() + (noise >> 21) as f32;
            sample.trunc() / 32_768.0
        })
        .collect()
}

/// Writes [`tone`] as 16-bit WAV.
pub fn wav(path: &Path, pitch: f32, samples: usize) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    for sample in tone(pitch, samples) {
        file.write_sample((sample * 32_768.0) as i16).unwrap();
    }
    file.finalize().unwrap();
}
