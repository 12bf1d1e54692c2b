//! Tones whose pitch tells the mood, a model that is small enough to learn them in a test, and the
//! program run as people run it.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::path::Path;
use std::process::{Command, Stdio};

pub const MOODS: [&str; 3] = ["happy", "dark", "epic"];

/// A preset up to its training: moods, features and one branch.
pub const MODEL: &str = r#"
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
"#;

/// A second branch for [`MODEL`].
pub const VERTICAL: &str = r#"
[[model.branch]]
name = "vertical"
kernel = [5, 1]
channels = [4, 5]
pool = [4, 4]
lstm = [8, 4]
"#;

/// A tone with some noise, 22 050 Hz; the seed decides the noise.
pub fn tone(pitch: f32, samples: usize, seed: u32) -> Vec<f32> {
    let mut noise = seed;
    (0..samples)
        .map(|n| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let sample = 8000.0 * (pitch * n as f32).sin() + (noise >> 21) as f32;
            sample.trunc() / 32_768.0
        })
        .collect()
}

/// Writes [`tone`] as 16-bit WAV.
pub fn wav(path: &Path, pitch: f32, samples: usize, seed: u32) {
    write(path, tone(pitch, samples, seed).into_iter().map(|sample| (sample * 32_768.0) as i16));
}

/// Writes 16-bit WAV at the model's rate.
pub fn write(path: &Path, samples: impl IntoIterator<Item = i16>) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 22_050,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).unwrap();
    samples.into_iter().for_each(|sample| file.write_sample(sample).unwrap());
    file.finalize().unwrap();
}

/// The program in a folder, with a cache of its own there.
pub fn program(folder: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moodshader"));
    command
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .env("MOODSHADER_CACHE", folder.join("cache"))
        .env("MOODSHADER_STATE", folder.join("state"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    #[cfg(unix)]
    heed_signals(&mut command);
    command
}

/// Whoever runs the tests, in the background say, may have them ignore signals.
#[cfg(unix)]
fn heed_signals(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    // SAFETY: `signal` may be called between fork and exec.
    unsafe {
        command.pre_exec(|| {
            for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
                libc::signal(signal, libc::SIG_DFL);
            }
            Ok(())
        });
    }
}
