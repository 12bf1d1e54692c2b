//! Checkpoint files: what is inside, that bytes repeat, and that no broken file gets through.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use moodshader::model::checkpoint::{
    Checkpoint, Description, FORMAT, Normalization, Tensor, Training, Validation,
};
use moodshader::model::parameters::{
    buffer_shapes, initialise, initialise_buffers, optimizer_shapes, parameter_shapes,
};
use moodshader::model::preset::Preset;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

fn small_preset() -> Preset {
    let text = r#"
        moods = ["happy", "dark \"é\""]
        [audio]
        clip_seconds = 0.25
        [features]
        mels = 8
        [[model.branch]]
        name = "tall"
        kernel = [3, 1]
        channels = [2, 3]
        pool = [2, 2]
        lstm = [2, 1]
    "#;
    Preset::from_toml(text, "small").unwrap()
}

fn description(preset: &Preset) -> Description {
    Description {
        moods: None,
        source: None,
        notice: None,
        labels: preset.moods.clone(),
        preset: preset.clone(),
        // Digits that a careless parser or printer loses.
        normalization: Normalization {
            mean: -42.318_467_195_230_15,
            std: 0.1 + 0.2,
            handcrafted: None,
        },
        update: 17,
        epoch_loss: Some(11.25),
        seed: Some(i64::MAX as u64),
        split: "00ff".to_string(),
        version: "0.1.0".to_string(),
        thresholds: Some(vec![Some(1.0 / 3.0), None]),
        precisions: Some(vec![vec![(0.1, 1.0 / 3.0), (0.3, 1.0)], Vec::new()]),
        training: Some(Training {
            clips: 5,
            positives: vec![3, 2],
            validation_clips: 2,
            validation: Some(Validation {
                epoch: 2,
                loss: 0.1 + 0.2,
                roc_auc: Some(2.0 / 3.0),
                pr_auc: None,
            }),
        }),
    }
}

fn small() -> Checkpoint {
    let preset = small_preset();
    let mut tensors = initialise(&preset, 3);
    tensors.extend(initialise_buffers(&preset));
    Checkpoint::new(&description(&preset), tensors).unwrap()
}

fn write(checkpoint: &Checkpoint) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    checkpoint.write(&path).unwrap();
    (folder, path)
}

/// The message of reading `checkpoint` after `change`.
fn refused(change: impl FnOnce(&mut Checkpoint)) -> String {
    let mut checkpoint = small();
    change(&mut checkpoint);
    let (_folder, path) = write(&checkpoint);
    let message = Checkpoint::read(&path).unwrap_err().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
    message
}

fn assert_has(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn a_checkpoint_reads_back_as_it_was() {
    let checkpoint = small();
    let (_folder, path) = write(&checkpoint);
    let read = Checkpoint::read(&path).unwrap();
    assert_eq!(read, checkpoint);
    assert_eq!(read.description().unwrap(), description(&small_preset()));
    assert!(!read.has_optimizer());
    assert_eq!(read.values(&parameter_shapes(&small_preset())).unwrap().len(), 2 * 4 + 2 * 6 + 2);
}

#[test]
fn normalization_keeps_every_bit() {
    let mut stream = ChaCha8Rng::seed_from_u64(1);
    let preset = small_preset();
    let (parameters, buffers) = (initialise(&preset, 3), initialise_buffers(&preset));
    for _ in 0..200 {
        let mut description = description(&preset);
        description.normalization = Normalization {
            mean: -100.0 * stream.random::<f64>(),
            std: stream.random::<f64>(),
            handcrafted: None,
        };
        let tensors = parameters.iter().chain(&buffers).cloned();
        let checkpoint = Checkpoint::new(&description, tensors).unwrap();
        assert_eq!(checkpoint.description().unwrap(), description);
    }
}

#[test]
fn the_same_contents_give_the_same_bytes() {
    let (_one, first) = write(&small());
    let (_two, second) = write(&small());
    let bytes = std::fs::read(&first).unwrap();
    assert_eq!(bytes, std::fs::read(second).unwrap());
    Checkpoint::read(&first).unwrap().write(&first).unwrap();
    assert_eq!(bytes, std::fs::read(&first).unwrap());
}

#[test]
fn other_readers_find_names_shapes_and_aligned_data() {
    let (_folder, path) = write(&small());
    let bytes = std::fs::read(path).unwrap();
    let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!((8 + header) % 8, 0);
    let entries = metadata.metadata().as_ref().unwrap();
    assert_eq!(entries["format"], FORMAT);
    assert_eq!(entries["labels"], r#"["happy","dark \"é\""]"#);
    assert_eq!(
        entries["normalization"],
        r#"{"mean":-42.31846719523015,"std":0.30000000000000004}"#
    );
    assert_eq!(entries["update"], "17");
    assert!(entries["preset"].contains("[[model.branch]]"));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (name, shape) in [
        ("tall.blocks.0.conv.weight", vec![2, 1, 3, 1]),
        ("tall.blocks.1.bn.running_var", vec![3]),
        ("tall.lstm0.weight_ih_l0_reverse", vec![8, 12]),
        ("tall.lstm1.weight_ih_l0", vec![4, 4]),
        ("tall.lstm1.bias_hh_l0_reverse", vec![4]),
        ("dense.weight", vec![2, 2]),
    ] {
        assert_eq!(file.tensor(name).unwrap().shape(), shape, "{name}");
    }
    let second = file.tensor("tall.lstm0.bias_hh_l0").unwrap();
    assert!(second.data().iter().all(|byte| *byte == 0));
}

#[test]
fn writing_leaves_one_file_and_replaces_the_old() {
    let (folder, path) = write(&small());
    std::fs::write(&path, "an older file").unwrap();
    small().write(&path).unwrap();
    Checkpoint::read(&path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    let nowhere = folder.path().join("none").join("model.safetensors");
    let message = small().write(&nowhere).unwrap_err().to_string();
    assert_has(&message, &["cannot write", "model.safetensors"]);
}

#[test]
fn the_optimiser_is_inside_whole_or_not_at_all() {
    let preset = small_preset();
    let state: Vec<_> = optimizer_shapes(&preset)
        .into_iter()
        .map(|(name, shape)| (name, vec![-0.0; shape.iter().product()]))
        .collect();
    let mut tensors = initialise(&preset, 3);
    tensors.extend(initialise_buffers(&preset));
    tensors.extend(state.clone());
    let last = Checkpoint::new(&description(&preset), tensors.clone()).unwrap();
    let (_folder, path) = write(&last);
    let read = Checkpoint::read(&path).unwrap();
    assert!(read.has_optimizer());
    assert!(read.tensors.contains_key("optimizer.exp_avg.tall.lstm0.bias_ih_l0"));
    assert!(!read.tensors.keys().any(|name| name.contains("exp_avg") && name.contains("bias_hh")));
    let values = read.values(&optimizer_shapes(&preset)).unwrap();
    assert!(values.iter().flat_map(|(_, v)| v).all(|value| value.to_bits() == (-0.0f32).to_bits()));

    tensors.pop();
    let message = Checkpoint::new(&description(&preset), tensors).unwrap_err().to_string();
    assert_has(&message, &["optimizer.exp_avg_sq.dense.bias", "missing"]);
}

#[test]
fn new_refuses_tensors_that_are_not_the_presets() {
    let preset = small_preset();
    let mut tensors = initialise(&preset, 3);
    tensors.extend(initialise_buffers(&preset));
    let with = |name: &str, values: Vec<f32>| {
        let mut tensors = tensors.clone();
        tensors.push((name.to_string(), values));
        Checkpoint::new(&description(&preset), tensors).unwrap_err().to_string()
    };
    assert_has(&with("dense.wait", vec![0.0]), &["dense.wait"]);
    assert_has(&with("dense.bias", vec![0.0]), &["dense.bias", "[2]"]);
}

#[test]
fn broken_contents_are_named() {
    type Change = fn(&mut Checkpoint);
    let set = |key: &'static str, value: &'static str| {
        move |c: &mut Checkpoint| drop(c.metadata.insert(key.to_string(), value.to_string()))
    };
    let missing: Change = |c| drop(c.tensors.remove("dense.bias"));
    assert_has(&refused(missing), &["dense.bias", "missing"]);
    let reshaped: Change = |c| c.tensors.get_mut("dense.weight").unwrap().shape = vec![4];
    assert_has(&refused(reshaped), &["dense.weight", "[4]", "[2, 2]"]);
    let second: Change = |c| c.tensors.get_mut("tall.lstm1.bias_hh_l0").unwrap().shape = vec![2, 2];
    assert_has(&refused(second), &["tall.lstm1.bias_hh_l0", "[4]"]);
    let no_format: Change = |c| drop(c.metadata.remove("format"));
    assert_has(&refused(no_format), &["not a moodshader checkpoint"]);
    assert_has(&refused(set("format", "moodshader/2")), &["moodshader/2", FORMAT]);
    for key in ["labels", "preset", "normalization", "update", "split", "version"] {
        assert_has(&refused(|c| drop(c.metadata.remove(key))), &[&format!("no `{key}`")]);
    }
    assert_has(&refused(set("labels", "happy")), &["`labels`"]);
    assert_has(&refused(set("labels", r#"["happy"]"#)), &["`labels`"]);
    assert_has(&refused(set("update", "-3")), &["`update`"]);
    assert_has(&refused(set("normalization", r#"{"mean": 1.0}"#)), &["`normalization`", "std"]);
    assert_has(&refused(set("normalization", r#"{"mean": 1.0, "std": 0.0}"#)), &["std"]);
    assert_has(&refused(set("thresholds", "[0.5]")), &["`thresholds`"]);
    assert_has(&refused(set("preset", "moods = 3")), &["preset", "moods"]);
    assert_has(&refused(set("preset", "[train]\nbatch = 0")), &["train.batch"]);
}

/// A shader makes 0 of max(0, NaN), so that such weights would give plausible moods.
#[test]
fn numbers_that_no_training_keeps_are_refused() {
    for name in small().tensors.keys() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let message = refused(|c| {
                let values = &mut c.tensors.get_mut(name).unwrap().values;
                *values.last_mut().unwrap() = bad;
            });
            assert_has(&message, &[name, "not finite"]);
        }
    }
    let weight = "tall.blocks.0.conv.weight";
    let huge = refused(|c| c.tensors.get_mut(weight).unwrap().values[0] = -3e38);
    assert_has(&huge, &[weight, "no training gives"]);
    let mean = "tall.blocks.0.bn.running_mean";
    let far = refused(|c| c.tensors.get_mut(mean).unwrap().values[0] = 3e38);
    assert_has(&far, &[mean, "no training gives"]);
    let variance = "tall.blocks.0.bn.running_var";
    let negative = refused(|c| c.tensors.get_mut(variance).unwrap().values[0] = -1e-3);
    assert_has(&negative, &[variance, "negative"]);
    for (mean, std) in [
        ("1e39", "1.0"),
        ("1e300", "1.0"),
        ("0.0", "1e39"),
        ("0.0", "1e-46"),
        ("-24.9", "1e-38"),
        ("0.0", "-1.0"),
    ] {
        let normalization = format!(r#"{{"mean": {mean}, "std": {std}}}"#);
        let message = refused(|c| drop(c.metadata.insert("normalization".into(), normalization)));
        assert_has(&message, &["mean", "std", "finite"]);
        assert!(message.len() < 300, "{message}");
    }
}

#[test]
fn broken_files_are_named_and_never_panic() {
    let (folder, path) = write(&small());
    let whole = std::fs::read(&path).unwrap();
    let broken = folder.path().join("broken.safetensors");
    let read = |bytes: &[u8]| {
        std::fs::write(&broken, bytes).unwrap();
        Checkpoint::read(&broken)
    };
    let message_of = |bytes: &[u8]| {
        let message = read(bytes).unwrap_err().to_string();
        assert_has(&message, &["broken.safetensors"]);
        message
    };
    assert_has(&message_of(b""), &["not a safetensors file"]);
    assert_has(&message_of(b"RIFF\x24\x00\x00\x00WAVEfmt "), &["not a safetensors file"]);
    assert_has(&message_of(&whole[..whole.len() - 1]), &["damaged"]);
    assert_has(&message_of(&[&whole[..], &[0]].concat()), &["damaged"]);
    let mut stream = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..100 {
        message_of(&whole[..stream.random_range(..whole.len())]);
    }
    for round in 0..800 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 4 {
            let place = stream.random_range(..bytes.len());
            bytes[place] = stream.random();
        }
        // A flip among the weights is a checkpoint still.
        if let Err(error) = read(&bytes) {
            assert_has(&error.to_string(), &["broken.safetensors"]);
        }
    }
    let message = Checkpoint::read(&folder.path().join("none.safetensors")).unwrap_err();
    assert_has(&message.to_string(), &["none.safetensors"]);
}

/// As PyTorch saves a model of these names: two biases, a counter, and no metadata of ours.
fn foreign(path: &Path, dtype: Dtype) {
    let own = small();
    let mut bytes: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)> = own
        .tensors
        .into_iter()
        .map(|(name, Tensor { shape, values })| {
            let value = if name.contains("bias_hh") { Some(0.25f32) } else { None };
            let words = values.iter().flat_map(|v| value.unwrap_or(*v).to_le_bytes());
            (name, (Dtype::F32, shape, words.collect()))
        })
        .collect();
    let counter = (Dtype::I64, vec![], vec![0; 8]);
    bytes.insert("tall.blocks.0.bn.num_batches_tracked".to_string(), counter);
    let extra = vec![0; dtype.bitsize() / 8];
    bytes.insert("head.scale".to_string(), (dtype, vec![1], extra));
    let views: HashMap<_, _> = bytes
        .iter()
        .map(|(name, (dtype, shape, data))| {
            (name, TensorView::new(*dtype, shape.clone(), data).unwrap())
        })
        .collect();
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn weights_are_read_from_files_that_pytorch_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("torch.safetensors");
    let preset = small_preset();
    foreign(&path, Dtype::F32);
    let read = |path: &Path, preset: &Preset| {
        Checkpoint::weights(&std::fs::read(path).unwrap(), preset, 7)
    };
    let weights = read(&path, &preset).unwrap();
    let named = |shapes: Vec<(String, Vec<usize>)>| shapes.into_iter().map(|(name, _)| name);
    let names: BTreeSet<String> =
        named(parameter_shapes(&preset)).chain(named(buffer_shapes(&preset))).collect();
    let given: BTreeSet<String> = weights.tensors.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(given, names);
    assert!(!weights.afresh);
    let bias = weights.tensors.iter().find(|(name, _)| name == "tall.lstm1.bias_ih_l0").unwrap();
    assert_eq!(bias.1, [0.25, 1.25, 0.25, 0.25], "the sum of PyTorch's two biases");
    assert_has(&Checkpoint::read(&path).unwrap_err().to_string(), &["not a moodshader checkpoint"]);

    // For more moods, all but the last layer is the file's.
    let mut other = preset.clone();
    other.moods.push("epic".to_string());
    let more = read(&path, &other).unwrap();
    assert!(more.afresh);
    for (name, values) in &more.tensors {
        let same = weights.tensors.iter().any(|own| own == &(name.clone(), values.clone()));
        assert_eq!(same, !name.starts_with("dense."), "{name}");
    }

    // A file that says what its outputs stand for is not taken for others in the same number.
    let (_folder, own) = write(&small());
    assert!(!read(&own, &preset).unwrap().afresh);
    other.moods = preset.moods.iter().rev().cloned().collect();
    let reversed = read(&own, &other).unwrap();
    assert!(reversed.afresh);
    assert_eq!(reversed.labels.as_ref(), Some(&preset.moods));
    assert!(!read(&path, &other).unwrap().afresh);

    foreign(&path, Dtype::F16);
    let message = read(&path, &preset).unwrap_err().to_string();
    assert_has(&message, &["head.scale", "F16"]);
}
