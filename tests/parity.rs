//! GPU and CPU executors replay the same plan: same state in, same update out.

mod support;

use moodshader::audio::centre_clip;
use moodshader::dataset::batches::Batch;
use moodshader::dataset::features::{Extractor, FeatureRecipe, Features};
use moodshader::dataset::manifest;
use moodshader::dataset::synthetic::{CorpusSpec, generate};
use moodshader::exec::Device;
use moodshader::metrics::Predictions;
use moodshader::model::checkpoint::Normalization;
use moodshader::model::parameters::{initialise, initialise_buffers};
use moodshader::model::preset::Preset;
use moodshader::model::{Network, Session, Update};
use moodshader::plan::Storage;
use rayon::prelude::*;
use support::{noise, relative, small_preset};

const STORAGES: [Storage; 4] =
    [Storage::Parameters, Storage::Buffers, Storage::ExpAvg, Storage::ExpAvgSq];

fn update(number: u64, learning_rate: f64) -> Update {
    Update { number, seed: 5, learning_rate, averaging: 1.0 }
}

fn flat(session: &mut Session, storage: Storage) -> Vec<f32> {
    let tensors = session.download(storage).expect("download");
    tensors.into_iter().flat_map(|(_, values)| values).collect()
}

#[test]
fn ten_updates_agree_each_from_the_same_state() {
    updates_agree(&small_preset("train.batch=6"));
}

#[test]
fn updates_on_changed_clips_agree() {
    updates_agree(&small_preset(
        "train.batch=6
        train.mixup=0.4
        train.mask_bands=0.3
        train.mask_steps=0.3
        train.label_smoothing=0.1",
    ));
}

fn updates_agree(preset: &Preset) {
    assert!(preset.model.dropout > 0.0, "dropout masks are part of what must agree");
    let network = Network::new(preset, Normalization { mean: 0.1, std: 1.3, handcrafted: None });
    let mut gpu = Session::new(&support::device(), network.clone(), 6, &[]).expect("GPU plans");
    let mut cpu = Session::new(&Device::Cpu, network, 6, &[]).expect("CPU plans");
    gpu.upload(Storage::Parameters, &initialise(preset, 3)).expect("upload");
    gpu.upload(Storage::Buffers, &initialise_buffers(preset)).expect("upload");
    for update in 0..10 {
        for storage in STORAGES {
            let state = gpu.download(storage).expect("download");
            cpu.upload(storage, &state).expect("upload");
        }
        let batch = noise(preset, 6, update);
        let losses = [&mut gpu, &mut cpu].map(|session| {
            session.set_epoch_loss(0.0).expect("upload");
            session
                .update(batch.inputs(), &batch.targets, self::update(update, 1e-3))
                .expect("the update runs");
            session.epoch_loss().expect("download")
        });
        assert!(
            (losses[0] / losses[1] - 1.0).abs() < 1e-5,
            "loss of update {update}: GPU {}, CPU {}",
            losses[0],
            losses[1]
        );
        for (storage, tolerance) in [(Storage::Gradients, 2e-3), (Storage::Buffers, 1e-4)] {
            let error = relative(&flat(&mut gpu, storage), &flat(&mut cpu, storage));
            assert!(error < tolerance, "{storage:?} of update {update} is off by {error:.1e}");
        }
    }
}

#[test]
fn predictions_agree() {
    let preset = small_preset("train.batch=6");
    let network = Network::new(&preset, Normalization { mean: 0.1, std: 1.3, handcrafted: None });
    let [gpu, cpu] = [support::device(), Device::Cpu].map(|device| {
        let mut session = Session::new(&device, network.clone(), 0, &[6]).expect("plans");
        session.upload(Storage::Parameters, &initialise(&preset, 3)).expect("upload");
        session.upload(Storage::Buffers, &initialise_buffers(&preset)).expect("upload");
        support::judge(&mut session, &noise(&preset, 6, 1))
    });
    assert!(relative(&gpu.probabilities, &cpu.probabilities) < 1e-5);
    assert!(relative(&gpu.loss, &cpu.loss) < 1e-5);
}

/// The synthetic corpus as one batch.
fn synthetic(preset: &Preset, clips: usize, seed: u64) -> Batch {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let clip_seconds = preset.audio.clip_seconds;
    let spec = CorpusSpec { clips, clip_seconds, seed, shuffle_labels: false };
    let manifest = generate(&spec, folder.path(), &|_| Ok(())).expect("the corpus is made");
    let tracks =
        manifest::read(&manifest, Some(folder.path())).expect("the manifest is read").tracks;
    let recipe = FeatureRecipe::of(preset);
    let samples: Vec<Vec<f32>> = tracks
        .par_iter()
        .map(|track| {
            let clip = centre_clip(&track.path, recipe.audio.sample_rate, recipe.clip_samples());
            clip.expect("the clip is read").samples
        })
        .collect();
    let samples: Vec<&[f32]> = samples.iter().map(Vec::as_slice).collect();
    let mut extractor = Extractor::new(&support::device(), recipe).expect("the plans load");
    let features = extractor.extract(&samples).expect("the features are computed");
    let has = |tags: &[String], mood: &String| f32::from(u8::from(tags.contains(mood)));
    let targets = tracks
        .iter()
        .flat_map(|track| preset.moods.iter().map(|mood| has(&track.tags, mood)))
        .collect();
    Batch::new(&features, targets)
}

/// A batch's clips from `first` on.
fn part(batch: &Batch, first: usize, clips: usize) -> Batch {
    let of = |values: &[f32]| {
        let each = values.len() / batch.clips;
        let part = values.chunks(each).skip(first).take(clips);
        part.map(<[f32]>::to_vec).collect::<Vec<_>>()
    };
    let features = of(&batch.main).into_iter();
    let features: Vec<_> =
        features.map(|log_mel| Features { log_mel, handcrafted: None }).collect();
    Batch::new(&features, of(&batch.targets).concat())
}

/// Macro ROC-AUC of a session's model on clips of its own.
fn judge(session: &mut Session, clips: &Batch, batch: usize, moods: usize) -> f64 {
    let mut predictions = Predictions::default();
    for first in (0..clips.clips).step_by(batch) {
        let part = support::judge(session, &part(clips, first, batch));
        predictions.probabilities.extend(part.probabilities);
        predictions.targets.extend(part.targets);
    }
    let scores = predictions.scores(moods).expect("finite scores");
    scores.roc_auc.macro_mean.expect("every mood has positives and negatives")
}

/// Weights that learnt something on the adapter score alike on the CPU. docs/parity.md has the command
/// and the table for models that were trained apart.
#[test]
fn the_same_weights_reach_the_same_auc() {
    const BATCH: usize = 16;
    const EPOCHS: u64 = 8;
    let preset = small_preset("train.batch=16");
    let moods = preset.moods.len();
    let train = synthetic(&preset, 6 * BATCH, 1);
    let validation = synthetic(&preset, 10 * BATCH, 2);
    let count = train.main.len() as f64;
    let mean = train.main.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
    let square = |&x: &f32| (f64::from(x) - mean).powi(2);
    let std = (train.main.iter().map(square).sum::<f64>() / count).sqrt();
    let network = Network::new(&preset, Normalization { mean, std, handcrafted: None });
    let [mut gpu, mut cpu] =
        [(support::device(), BATCH), (Device::Cpu, 0)].map(|(device, clips)| {
            Session::new(&device, network.clone(), clips, &[BATCH]).expect("the plans load")
        });
    gpu.upload(Storage::Parameters, &initialise(&preset, 1)).expect("upload");
    gpu.upload(Storage::Buffers, &initialise_buffers(&preset)).expect("upload");
    let batches = train.clips / BATCH;
    for update in 0..EPOCHS * batches as u64 {
        let batch = part(&train, update as usize % batches * BATCH, BATCH);
        gpu.update(batch.inputs(), &batch.targets, self::update(update, 3e-3))
            .expect("the update runs");
    }
    for storage in [Storage::Parameters, Storage::Buffers] {
        cpu.upload(storage, &gpu.download(storage).expect("download")).expect("upload");
    }
    let [gpu, cpu] = [gpu, cpu].map(|mut session| judge(&mut session, &validation, BATCH, moods));
    assert!(gpu > 0.6, "nothing was learnt: {gpu}");
    assert!((gpu - cpu).abs() < 1e-4, "the same weights: GPU {gpu}, CPU {cpu}");
}
