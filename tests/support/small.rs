//! A small `paper`: both branches and every kind of layer, in a few thousand parameters.

use moodshader::exec::Executor;
use moodshader::model::checkpoint::Normalization;
use moodshader::model::parameters::{initialise, initialise_buffers};
use moodshader::model::preset::Preset;
use moodshader::model::{Network, Program};
use moodshader::plan::Storage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

pub const NORMALIZATION: Normalization =
    Normalization { mean: -40.0, std: 20.0, handcrafted: None };

/// 32 bands by 27 frames: pooling leaves a rest, and the vertical branch ends on two bands, where
/// some taps of its kernel only ever meet padding. Channels do not fill the quads.
const PRESET: &str = r#"
    [audio]
    clip_seconds = 0.61
    [features]
    mels = 32
    [model]
    dropout = 0.5
    [[model.branch]]
    name = "horizontal"
    kernel = [1, 5]
    channels = [5, 6, 3]
    pool = [2, 2]
    lstm = [5, 3]
    [[model.branch]]
    name = "vertical"
    kernel = [9, 1]
    channels = [3, 6, 4]
    pool = [4, 2]
    lstm = [4, 3]
"#;

pub fn preset() -> Preset {
    Preset::from_toml(PRESET, "the small model").expect("the preset parses")
}

/// A small `musicnn`: vertical and horizontal filters, one of an even length, whose channels do not
/// fill the quads, a residual block, and dense layers with batch norms.
const FRONT: &str = r#"
    [audio]
    clip_seconds = 0.61
    [features]
    mels = 12
    [model]
    dropout = 0.5
    output = "sigmoid"
    [[model.front]]
    kernel = [9, 3]
    channels = 5
    [[model.front]]
    kernel = [2, 6]
    channels = 3
    [[model.front]]
    kernel = [1, 3]
    channels = 2
    [model.middle]
    kernel = 3
    channels = [6, 6]
    [model.back]
    hidden = [7]
"#;

#[allow(dead_code, reason = "not every test has a use for it")]
pub fn front() -> Preset {
    Preset::from_toml(FRONT, "the small front").expect("the preset parses")
}

/// What a batch's clips are.
pub struct Batch {
    pub main: Vec<f32>,
    pub targets: Vec<f32>,
}

impl Batch {
    pub fn draw(program: &Program, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let length = |id| program.plan.tensor(id).length;
        let main = (0..length(program.handles.input)).map(|_| {
            let z: f64 = rng.sample(StandardNormal);
            (NORMALIZATION.mean + NORMALIZATION.std * z) as f32
        });
        let main = main.collect();
        let targets = program.handles.targets.expect("the plan judges");
        let targets = (0..length(targets)).map(|_| f32::from(rng.random_bool(0.3)));
        Self { main, targets: targets.collect() }
    }
}

/// What an update starts from.
pub struct State {
    pub parameters: Vec<f32>,
    pub buffers: Vec<f32>,
}

impl State {
    /// The first values with noise, so that biases and batch norm do something; some of batch
    /// norm's weights are negative.
    pub fn draw(network: &Network, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut flat = |storage, tensors: Vec<(String, Vec<f32>)>, deviation: f32| {
            let layout = network.layout(storage);
            let mut all = vec![0.0; layout.length()];
            for (name, values) in tensors {
                let (offset, _) = layout.get(&name).expect("the layout has every tensor");
                for (i, (to, from)) in all[offset..].iter_mut().zip(values).enumerate() {
                    let sign = if name.ends_with("bn.weight") && i % 3 == 1 { -1.0 } else { 1.0 };
                    *to = sign * from + deviation * rng.sample::<f32, _>(StandardNormal);
                }
            }
            all
        };
        let preset = network.preset();
        Self {
            parameters: flat(Storage::Parameters, initialise(preset, seed), 0.1),
            buffers: flat(Storage::Buffers, initialise_buffers(preset), 0.0),
        }
    }

    pub fn put(&self, programs: &mut dyn Executor) {
        for (storage, values) in
            [(Storage::Parameters, &self.parameters), (Storage::Buffers, &self.buffers)]
        {
            programs.upload(storage, values).expect("the executor takes the state");
        }
    }
}
