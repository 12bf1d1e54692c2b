//! The whole model against PyTorch: tests/fixtures/torch_paper.py says what was computed.

mod support;

use std::collections::HashMap;

use moodshader::dataset::batches::Batch;
use moodshader::exec::Device;
use moodshader::model::checkpoint::Normalization;
use moodshader::model::parameters::{buffer_shapes, parameter_shapes};
use moodshader::model::preset::Preset;
use moodshader::model::{Network, Session, Update};
use moodshader::plan::Storage;
use safetensors::SafeTensors;
use support::relative;

type Tensors = HashMap<String, Vec<f32>>;

fn update(number: u64, learning_rate: f64) -> Update {
    Update { number, seed: 0, learning_rate, averaging: 1.0 }
}

fn fixture() -> Tensors {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch_paper.safetensors");
    let bytes = std::fs::read(path).expect("the fixture is in the repository");
    let file = SafeTensors::deserialize(&bytes).expect("the fixture is a safetensors file");
    file.tensors()
        .into_iter()
        .map(|(name, view)| (name, bytemuck::pod_collect_to_vec(view.data())))
        .collect()
}

fn preset() -> Preset {
    support::small_preset(
        "model.dropout=0.0
         train.batch=5
         train.decay_updates=10",
    )
}

/// The model with the fixture's first weights; features are standardised already.
fn session(device: &Device, fixture: &Tensors) -> Session {
    let network = Network::new(&preset(), Normalization { mean: 0.0, std: 1.0, handcrafted: None });
    let mut session = Session::new(device, network, 5, &[5]).expect("the plans load");
    let named = |shapes: Vec<(String, Vec<usize>)>| -> Vec<(String, Vec<f32>)> {
        shapes.into_iter().map(|(name, _)| (name.clone(), fixture[&name].clone())).collect()
    };
    session.upload(Storage::Parameters, &named(parameter_shapes(&preset()))).expect("upload");
    session.upload(Storage::Buffers, &named(buffer_shapes(&preset()))).expect("upload");
    session
}

fn batch(fixture: &Tensors) -> Batch {
    Batch::new(&support::features(&preset(), &fixture["input"]), fixture["targets"].clone())
}

/// All tensors of a storage against those of the fixture with a prefix, as one vector.
fn against(session: &mut Session, storage: Storage, prefix: &str, fixture: &Tensors) -> f64 {
    let (mut got, mut want) = (Vec::new(), Vec::new());
    for (name, values) in session.download(storage).expect("download") {
        if let Some(expected) = fixture.get(&format!("{prefix}{name}")) {
            assert_eq!(values.len(), expected.len(), "{name}");
            got.extend(values);
            want.extend(expected);
        }
    }
    assert!(!want.is_empty(), "the fixture has no {prefix}");
    relative(&got, want)
}

fn five_updates(device: &Device) {
    let fixture = fixture();
    let batch = batch(&fixture);
    let mut session = session(device, &fixture);
    for update in 0..5 {
        session.set_epoch_loss(0.0).expect("upload");
        let rate = preset().train.learning_rate(update, 1);
        session
            .update(batch.inputs(), &batch.targets, self::update(update, rate))
            .expect("the update runs");
        let loss = session.epoch_loss().expect("download") / 5.0;
        let expected = fixture["expected.losses"][update as usize];
        // The first is one forward pass; later ones follow Adam, whose first steps are nearly
        // signs: a gradient near zero may step the other way.
        let tolerance = if update == 0 { 2e-6 } else { 1e-4 };
        assert!(
            (loss / expected - 1.0).abs() < tolerance,
            "loss of update {update}: {loss}, PyTorch {expected}"
        );
        if update == 0 {
            let error = against(&mut session, Storage::Gradients, "expected.grad.", &fixture);
            // PyTorch's own f32 is 1.9e-6 away from its f64.
            assert!(error < 2e-5, "gradient is off by {error:.1e}");
        }
    }
    session.check().expect("all gradients are finite");
    let error = against(&mut session, Storage::Parameters, "expected.after5.", &fixture);
    assert!(error < 1e-4, "parameters after five updates are off by {error:.1e}");
    let error = against(&mut session, Storage::Buffers, "expected.after5.", &fixture);
    assert!(error < 1e-4, "running statistics are off by {error:.1e}");

    let predictions = support::judge(&mut session, &batch);
    let error = relative(&predictions.probabilities, &fixture["expected.eval"]);
    assert!(error < 1e-4, "predictions are off by {error:.1e}");
}

#[test]
fn five_updates_equal_pytorch_on_the_gpu() {
    five_updates(&support::device());
}

#[test]
fn five_updates_equal_pytorch_on_the_cpu() {
    five_updates(&Device::Cpu);
}

/// On a coarse grid, equal values meet in a pooling window: the first one gets the gradient.
fn ties(device: &Device) {
    let fixture = fixture();
    let mut batch = batch(&fixture);
    for x in &mut batch.main {
        *x = (2.0 * *x).round() / 2.0;
    }
    let mut session = session(device, &fixture);
    session.update(batch.inputs(), &batch.targets, update(0, 1e-3)).expect("the update runs");
    let loss = session.epoch_loss().expect("download") / 5.0;
    assert!((loss / fixture["expected.ties.loss"][0] - 1.0).abs() < 2e-6);
    let error = against(&mut session, Storage::Gradients, "expected.ties.grad.", &fixture);
    assert!(error < 5e-5, "gradient is off by {error:.1e}");
}

#[test]
fn ties_go_to_the_first_as_in_pytorch_on_the_gpu() {
    ties(&support::device());
}

#[test]
fn ties_go_to_the_first_as_in_pytorch_on_the_cpu() {
    ties(&Device::Cpu);
}
