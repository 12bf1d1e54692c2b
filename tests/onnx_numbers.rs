//! The ONNX export computes what the program computes, for every embedded preset: RTen, which knows
//! nothing of it, runs the file. `fixtures/onnx_check.py` does the same with onnxruntime.

mod support;

#[path = "support/tones.rs"]
mod tones;

use moodshader::dataset::features::{Extractor, FeatureRecipe};
use moodshader::kernels::features::HANDCRAFTED;
use moodshader::model::checkpoint::{
    Checkpoint, Description, HandcraftedNormalization, Normalization,
};
use moodshader::model::onnx::proto::ModelProto;
use moodshader::model::onnx::{Input, export};
use moodshader::model::parameters::{initialise, initialise_buffers};
use moodshader::model::preset::{Preset, Scale};
use moodshader::model::{Inputs, Purpose, Session};
use prost::Message;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rten::{Model, Value};

/// Of a probability. Both sum in f32, each in its own order: up to 1.5e-6 was seen.
const TOLERANCE: f32 = 1e-5;
/// Clips of a batch; the file takes any number.
const BATCHES: [usize; 2] = [3, 1];
/// As short as the pools of both branches allow, with a rest at most of them.
const SECONDS: &str = "3.0";

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    rng.sample(StandardNormal)
}

/// A checkpoint as training could leave it: no tensor has its first values, and batch norm has
/// statistics, weights of both signs, and variances at which its epsilon counts.
fn checkpoint(preset: &Preset, rng: &mut ChaCha8Rng) -> Checkpoint {
    let handcrafted = preset.model.handcrafted.as_ref().map(|_| HandcraftedNormalization {
        mean: [0.1, 0.05, 2000.0, 500.0, 4000.0, 900.0],
        std: [0.05, 0.02, 700.0, 200.0, 1500.0, 300.0],
    });
    let description = Description {
        normalization: match preset.features.scale {
            Scale::Decibels => Normalization { mean: -40.0, std: 20.0, handcrafted },
            Scale::Log10 => Normalization { mean: 2.5, std: 2.0, handcrafted },
        },
        ..Description::untrained(preset)
    };
    let mut tensors = initialise(preset, 1);
    let ends_in_lstm = tensors.iter().any(|(name, _)| name.contains("lstm"));
    tensors.extend(initialise_buffers(preset));
    for (name, values) in &mut tensors {
        for (i, x) in values.iter_mut().enumerate() {
            let z = normal(rng) as f32;
            *x = match &name[name.rfind("bn.").unwrap_or(0)..] {
                "bn.weight" => (if i % 3 == 1 { -0.3 } else { 0.3 }) + 0.05 * z,
                "bn.running_var" => 0.1 * (0.7 * z).exp(),
                "bn.bias" | "bn.running_mean" => 0.2 * z,
                // An LSTM's states are small; the logits are to be far apart.
                "dense.weight" if ends_in_lstm => 20.0 * *x,
                _ => *x + 0.03 * z,
            };
        }
    }
    Checkpoint::new(&description, tensors).expect("the tensors are the preset's")
}

/// The probabilities of a batch by the file, from inputs of these names and shapes.
fn by_file(model: &Model, inputs: &[(&str, &[usize], &[f32])]) -> Vec<f32> {
    let inputs = inputs.iter().map(|&(name, shape, values)| {
        let id = model.node_id(name).expect("the file has the input");
        let value = Value::from_shape(shape, values.to_vec());
        (id, value.expect("the shape is that of the values").into())
    });
    let outputs =
        model.run(inputs.collect(), model.output_ids(), None).expect("RTen runs the file");
    let [probabilities] = <[Value; 1]>::try_from(outputs).expect("one output");
    let (_, values) = probabilities.into_shape_vec::<f32, 2>().expect("[clips, moods]");
    values
}

fn file(checkpoint: &Checkpoint, input: Input) -> Model {
    let bytes = export(checkpoint, input).expect("the checkpoint is whole");
    let mut model = ModelProto::decode(&bytes[..]).expect("the file is a model");
    // RTen takes names of nodes for names of values, which ONNX keeps apart.
    let nodes = model.graph.iter_mut().flat_map(|graph| &mut graph.node);
    nodes.for_each(|node| node.name.clear());
    Model::load(model.encode_to_vec()).expect("RTen takes the file")
}

fn assert_close(what: &str, file: &[f32], program: &[f32]) {
    assert_eq!(file.len(), program.len());
    let worst = file.iter().zip(program).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    println!("{what}: probabilities differ by at most {worst:.1e}");
    assert!(worst <= TOLERANCE, "{what}: probabilities differ by {worst:.1e}");
}

/// The largest distance between two clips' probabilities of one mood.
fn spread(probabilities: &[f32], moods: usize) -> f32 {
    let range = |mood| {
        let of_mood = || probabilities.iter().skip(mood).step_by(moods).copied();
        of_mood().fold(0.0, f32::max) - of_mood().fold(1.0, f32::min)
    };
    (0..moods).map(range).fold(0.0, f32::max)
}

fn compare(name: &str) {
    let mut preset = Preset::named(name).expect("the preset is embedded");
    if !preset.features.context {
        preset.set("audio.clip_seconds", SECONDS).expect("the key exists");
    }
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let checkpoint = checkpoint(&preset, &mut rng);
    let from_log_mel = file(&checkpoint, Input::LogMel);
    let device = support::device();
    let mut session =
        Session::open(&device, &checkpoint, Purpose::Inference, &BATCHES).expect("the plans load");
    let mut by_program = |clips, log_mel: &[f32], handcrafted: &[f32]| {
        let arrival = session.predict(Inputs { clips, main: log_mel, handcrafted });
        arrival.and_then(|arrival| arrival()).expect("the device predicts")
    };
    let normalization = checkpoint.description().expect("it was just written").normalization;
    let mut seen = Vec::new();
    for clips in BATCHES {
        let mut drawn = |mean: f64, std: f64| (mean + std * normal(&mut rng)) as f32;
        // Each clip has a spectrum of its own below the noise.
        let mut log_mel = Vec::new();
        for _ in 0..clips * preset.features.mels {
            let level = f64::from(drawn(normalization.mean, normalization.std));
            log_mel.extend((0..preset.frames()).map(|_| drawn(level, normalization.std)));
        }
        let handcrafted: Vec<f32> = normalization.handcrafted.map_or(Vec::new(), |six| {
            let places = (0..clips).flat_map(|_| 0..HANDCRAFTED);
            places.map(|place| drawn(six.mean[place], six.std[place])).collect()
        });
        let shape = [clips, preset.features.mels, preset.frames()];
        let mut inputs = vec![("log_mel", &shape[..], &*log_mel)];
        let six = [clips, HANDCRAFTED];
        if preset.model.handcrafted.is_some() {
            inputs.push(("handcrafted", &six, &handcrafted));
        }
        let probabilities = by_file(&from_log_mel, &inputs);
        let expected = by_program(clips, &log_mel, &handcrafted);
        assert_close(&format!("{name}, {clips} clips"), &probabilities, &expected);
        seen.extend(probabilities);
    }
    // Probabilities that hardly depend on the clip would hide what is wrong below them.
    let spread = spread(&seen, preset.moods.len());
    assert!(spread > 0.05, "{name}: the clips are {spread} apart");

    if preset.model.handcrafted.is_none() {
        let samples: Vec<Vec<f32>> = (1..=BATCHES[0])
            .map(|clip| tones::tone(0.05 * clip as f32, preset.cut().samples, clip as u32))
            .collect();
        let clips: Vec<&[f32]> = samples.iter().map(Vec::as_slice).collect();
        let mut extractor =
            Extractor::new(&device, FeatureRecipe::of(&preset)).expect("the plans load");
        let features = extractor.extract(&clips).expect("the features are computed");
        let log_mel: Vec<f32> = features.into_iter().flat_map(|clip| clip.log_mel).collect();
        let shape = [BATCHES[0], preset.cut().samples];
        let from_samples = file(&checkpoint, Input::Samples);
        let probabilities = by_file(&from_samples, &[("samples", &shape, &samples.concat())]);
        let expected = by_program(BATCHES[0], &log_mel, &[]);
        assert_close(&format!("{name}, samples"), &probabilities, &expected);
    }
}

#[test]
fn every_preset_computes_the_same_in_onnx() {
    Preset::names().for_each(compare);
}
