//! One GPU for all tests of a binary, and small models.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::sync::{Arc, OnceLock};

use moodshader::dataset::batches::Batch;
use moodshader::dataset::features::Features;
use moodshader::exec::{Adapter, Device, Gpu, GpuOptions, adapters};
use moodshader::kernels::features::HANDCRAFTED;
use moodshader::metrics::Predictions;
use moodshader::model::Session;
use moodshader::model::preset::Preset;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// The adapter that `auto` takes, software included. A machine without one fails the tests: they
/// never pass by skipping.
pub fn adapter() -> Adapter {
    adapters()
        .into_iter()
        .next()
        .expect("no adapter: run `cargo xtask test`, which offers to install Mesa's software one")
}

/// [`adapter`] with shader checks on.
pub fn gpu() -> &'static Arc<Gpu> {
    static GPU: OnceLock<Arc<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| {
        let adapter = adapter();
        Arc::new(Gpu::open(adapter, GpuOptions { checked: true }).expect("the adapter opens"))
    })
}

/// [`gpu`] as a device.
pub fn device() -> Device {
    Device::Gpu(Arc::clone(gpu()))
}

/// A small model with both branches and every kind of layer; channel counts are not multiples of
/// four, pools leave remainders. 32 mel bands × 70 frames, three moods.
pub fn small_preset(more: &str) -> Preset {
    let seconds = 69.0 * 512.0 / 22050.0;
    let text = format!(
        r#"
        moods = ["happy", "dark", "epic"]
        [audio]
        clip_seconds = {seconds}
        [features]
        mels = 32
        [[model.branch]]
        name = "horizontal"
        kernel = [1, 5]
        channels = [3, 6, 8]
        pool = [2, 2]
        lstm = [8, 4]
        [[model.branch]]
        name = "vertical"
        kernel = [5, 1]
        channels = [4, 6]
        pool = [4, 4]
        lstm = [8, 4]
        "#
    );
    let mut preset = Preset::from_toml(&text, "the small preset").expect("the preset parses");
    for line in more.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (key, value) = line.split_once('=').expect("KEY=VALUE");
        preset.set(key, value).expect("the key exists");
    }
    preset.validate().expect("the preset is valid");
    preset
}

/// Clips of which `values` has one after the other: the log-mel spectrogram and, where the model
/// reads them, the hand-crafted features.
pub fn features(preset: &Preset, values: &[f32]) -> Vec<Features> {
    let log_mel = preset.log_mel_size();
    let six = preset.model.handcrafted.as_ref().map_or(0, |_| HANDCRAFTED);
    let clips = values.chunks(log_mel + six).map(|clip| clip.split_at(log_mel));
    clips
        .map(|(log_mel, six)| Features {
            log_mel: log_mel.to_vec(),
            handcrafted: six.try_into().ok(),
        })
        .collect()
}

/// A batch of noise with random targets.
pub fn noise(preset: &Preset, clips: usize, seed: u64) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
    let six = preset.model.handcrafted.as_ref().map_or(0, |_| HANDCRAFTED);
    let values: Vec<f32> = (0..clips * (preset.log_mel_size() + six)).map(|_| normal()).collect();
    let targets = 0..clips * preset.moods.len();
    let targets = targets.map(|_| f32::from(u8::from(normal() > 0.5))).collect();
    Batch::new(&features(preset, &values), targets)
}

/// What a session's model says of a batch.
pub fn judge(session: &mut Session, batch: &Batch) -> Predictions {
    let judgement = session.evaluate(batch.inputs(), &batch.targets).expect("the device judges");
    Predictions {
        probabilities: (judgement.probabilities)().expect("download"),
        loss: (judgement.loss)().expect("download"),
        targets: batch.targets.iter().map(|&target| target > 0.5).collect(),
    }
}

/// ‖a − b‖ / ‖b‖ in f64.
pub fn relative<'a>(
    a: impl IntoIterator<Item = &'a f32>,
    b: impl IntoIterator<Item = &'a f32>,
) -> f64 {
    let (mut difference, mut norm) = (0.0, 0.0);
    for (&a, &b) in a.into_iter().zip(b) {
        difference += (f64::from(a) - f64::from(b)).powi(2);
        norm += f64::from(b).powi(2);
    }
    (difference / norm).sqrt()
}
