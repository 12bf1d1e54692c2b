//! GPU and CPU executors replay the same plan: same state in, same update out.

mod support;

use moodshader::exec::Device;
use moodshader::model::Network;
use moodshader::model::checkpoint::Normalization;
use moodshader::model::parameters::{initialise, initialise_buffers};
use moodshader::plan::Storage;
use moodshader::train::{Predictions, Session};
use support::{noise, relative, small_preset};

const STORAGES: [Storage; 4] =
    [Storage::Parameters, Storage::Buffers, Storage::ExpAvg, Storage::ExpAvgSq];

fn flat(session: &mut Session, storage: Storage) -> Vec<f32> {
    let tensors = session.download(storage).expect("download");
    tensors.into_iter().flat_map(|(_, values)| values).collect()
}

#[test]
fn ten_updates_agree_each_from_the_same_state() {
    let preset = small_preset("train.batch=6");
    assert!(preset.model.dropout > 0.0, "dropout masks are part of what must agree");
    let network = Network::new(&preset, Normalization { mean: 0.1, std: 1.3 });
    let mut gpu = Session::new(&support::device(), network.clone(), 6, &[]).expect("GPU plans");
    let mut cpu = Session::new(&Device::Cpu, network, 6, &[]).expect("CPU plans");
    gpu.upload(Storage::Parameters, &initialise(&preset, 3)).expect("upload");
    gpu.upload(Storage::Buffers, &initialise_buffers(&preset)).expect("upload");
    for update in 0..10 {
        for storage in STORAGES {
            let state = gpu.download(storage).expect("download");
            cpu.upload(storage, &state).expect("upload");
        }
        let batch = noise(&preset, 6, update);
        let losses = [&mut gpu, &mut cpu].map(|session| {
            session.set_epoch_loss(0.0).expect("upload");
            session.update(&batch, update, 5, 1e-3).expect("the update runs");
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
    let network = Network::new(&preset, Normalization { mean: 0.1, std: 1.3 });
    let batch = noise(&preset, 6, 1);
    let [gpu, cpu] = [support::device(), Device::Cpu].map(|device| {
        let mut session = Session::new(&device, network.clone(), 0, &[6]).expect("plans");
        session.upload(Storage::Parameters, &initialise(&preset, 3)).expect("upload");
        session.upload(Storage::Buffers, &initialise_buffers(&preset)).expect("upload");
        let mut predictions = Predictions::default();
        session.predict(&batch, &mut predictions).expect("the prediction runs");
        predictions
    });
    assert!(relative(&gpu.probabilities, &cpu.probabilities) < 1e-5);
    assert!(relative(&gpu.loss, &cpu.loss) < 1e-5);
}
