//! The kinds of models beside `paper`: against PyTorch (`fixtures/torch_presets.py` says what was
//! computed), GPU against CPU, and what a user of them notices.

mod support;

use std::collections::{BTreeMap, HashMap};

use moodshader::dataset::batches::Batch;
use moodshader::exec::Device;
use moodshader::model::checkpoint::{HandcraftedNormalization, Normalization};
use moodshader::model::parameters::{
    buffer_shapes, initialise, initialise_buffers, parameter_shapes,
};
use moodshader::model::preset::Preset;
use moodshader::model::{Network, Session, Update};
use moodshader::plan::Storage;
use safetensors::SafeTensors;
use serde::Deserialize;
use support::relative;

#[derive(Deserialize)]
struct Description {
    presets: BTreeMap<String, String>,
    normalization: Normalization,
    /// How far PyTorch's gradient in f32 is from its f64.
    single_precision: BTreeMap<String, f64>,
}

type Tensors = HashMap<String, Vec<f32>>;

fn fixture() -> (Description, Tensors) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch_presets.safetensors");
    let bytes = std::fs::read(path).expect("the fixture is in the repository");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("it is a safetensors file");
    let text = &metadata.metadata().as_ref().expect("it has metadata")["fixture"];
    let file = SafeTensors::deserialize(&bytes).expect("it is a safetensors file");
    let tensors = file.tensors().into_iter();
    let tensors =
        tensors.map(|(name, view)| (name, bytemuck::pod_collect_to_vec(view.data()))).collect();
    (serde_json::from_str(text).expect("the metadata is JSON"), tensors)
}

/// A small model of the fixture, without the normalisation of what it does not read.
fn network(description: &Description, name: &str, more: &[(&str, &str)]) -> Network {
    let mut preset =
        Preset::from_toml(&description.presets[name], name).expect("the preset parses");
    for (key, value) in more {
        preset.set(key, value).expect("the key exists");
    }
    preset.validate().expect("the preset is valid");
    let handcrafted = description.normalization.handcrafted;
    let handcrafted = handcrafted.filter(|_| preset.model.handcrafted.is_some());
    Network::new(&preset, Normalization { handcrafted, ..description.normalization })
}

fn first_update_is_pytorchs(device: &Device) {
    let (description, tensors) = fixture();
    for name in description.presets.keys() {
        let of = |what: &str| tensors[&format!("{name}.{what}")].clone();
        let network = network(&description, name, &[("train.batch", "5")]);
        let preset = network.preset().clone();
        let mut session = Session::new(device, network, 5, &[]).expect("the plans load");
        for (storage, shapes) in [
            (Storage::Parameters, parameter_shapes(&preset)),
            (Storage::Buffers, buffer_shapes(&preset)),
        ] {
            let named = shapes.into_iter().map(|(tensor, _)| {
                let values = of(&format!("initial.{tensor}"));
                (tensor, values)
            });
            session.upload(storage, &named.collect::<Vec<_>>()).expect("upload");
        }
        if let Some(weights) = tensors.get(&format!("{name}.weights")) {
            session.set_class_weights(weights.clone());
        }
        session.set_epoch_loss(0.0).expect("upload");
        let batch = Batch::new(&support::features(&preset, &of("input")), of("targets"));
        session.update(batch.inputs(), &batch.targets, update(0)).expect("the update runs");
        let (loss, expected) = (session.epoch_loss().expect("download") / 5.0, of("loss")[0]);
        assert!((loss / expected - 1.0).abs() < 3e-6, "{name}: loss {loss}, PyTorch {expected}");
        let (mut got, mut want) = (Vec::new(), Vec::new());
        for (tensor, values) in session.download(Storage::Gradients).expect("download") {
            let expected = of(&format!("grad.{tensor}"));
            assert_eq!(values.len(), expected.len(), "{tensor}");
            got.extend(values);
            want.extend(expected);
        }
        let error = relative(&got, &want);
        println!("{name}: gradient off by {error:.1e}");
        // Most of PyTorch's are below 1e-6; batch norms over five numbers lose more, there as here.
        let bound = (2.0 * description.single_precision[name]).max(2e-5);
        assert!(error < bound, "{name}: gradient is off by {error:.1e}");
    }
}

#[test]
fn first_update_is_pytorchs_on_the_gpu() {
    first_update_is_pytorchs(&support::device());
}

#[test]
fn first_update_is_pytorchs_on_the_cpu() {
    first_update_is_pytorchs(&Device::Cpu);
}

fn update(number: u64) -> Update {
    Update { number, seed: 5, learning_rate: 1e-3, averaging: 1.0 }
}

/// Six clips whose standardised features are normal.
fn noise(network: &Network, seed: u64) -> Batch {
    let (preset, normalization) = (network.preset(), network.normalization());
    let mut batch = support::noise(preset, 6, seed);
    for x in &mut batch.main {
        *x = (normalization.mean + normalization.std * f64::from(*x)) as f32;
    }
    if let Some(HandcraftedNormalization { mean, std }) = normalization.handcrafted {
        for (i, x) in batch.handcrafted.iter_mut().enumerate() {
            let [mean, std] = [mean, std].map(|six| six[i % six.len()]);
            *x = (mean + std * f64::from(*x)) as f32;
        }
    }
    batch
}

/// With dropout, on two updates of noise and on predictions, each from the same state.
#[test]
fn gpu_and_cpu_agree() {
    let (description, _) = fixture();
    for name in description.presets.keys() {
        let more = [("train.batch", "6"), ("model.dropout", "0.5")];
        let network = network(&description, name, &more);
        let preset = network.preset().clone();
        let [mut gpu, mut cpu] = [support::device(), Device::Cpu]
            .map(|device| Session::new(&device, network.clone(), 6, &[6]).expect("the plans load"));
        for update in 0..2 {
            let batch = noise(&network, update);
            let results = [&mut gpu, &mut cpu].map(|session| {
                session.upload(Storage::Parameters, &initialise(&preset, 3)).expect("upload");
                session.upload(Storage::Buffers, &initialise_buffers(&preset)).expect("upload");
                session.set_class_weights(vec![0.5, 2.0, 3.0]);
                session.set_epoch_loss(0.0).expect("upload");
                let predictions = support::judge(session, &batch);
                session
                    .update(batch.inputs(), &batch.targets, self::update(update))
                    .expect("the update runs");
                let gradients = session.download(Storage::Gradients).expect("download");
                let gradients: Vec<f32> = gradients.into_iter().flat_map(|(_, g)| g).collect();
                (session.epoch_loss().expect("download"), gradients, predictions.probabilities)
            });
            let [(gpu, gpu_gradients, gpu_scores), (cpu, cpu_gradients, cpu_scores)] = &results;
            assert!((gpu / cpu - 1.0).abs() < 1e-5, "{name}: loss {gpu} on the GPU, {cpu}");
            let error = relative(gpu_gradients, cpu_gradients);
            assert!(error < 1e-3, "{name}: gradient off by {error:.1e}");
            let error = relative(gpu_scores, cpu_scores);
            assert!(error < 1e-5, "{name}: probabilities off by {error:.1e}");
        }
    }
}
