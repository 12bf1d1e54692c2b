//! The ONNX export: a graph that hangs together and holds the checkpoint. `fixtures/onnx_check.py`
//! runs it in onnxruntime.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;

use moodshader::model::checkpoint::Checkpoint;
use moodshader::model::onnx::proto::{FLOAT, ModelProto, TypeProto};
use place::{MOODS, Place};
use prost::Message;

#[path = "support/place.rs"]
mod place;

/// Sizes, and a name where a dimension has none.
fn shape(kind: &Option<TypeProto>) -> Vec<String> {
    let tensor = kind.as_ref().unwrap().tensor_type.as_ref().unwrap();
    assert_eq!(tensor.elem_type, FLOAT);
    let dimensions = &tensor.shape.as_ref().unwrap().dim;
    dimensions
        .iter()
        .map(|d| d.dim_param.clone().unwrap_or_else(|| d.dim_value.unwrap().to_string()))
        .collect()
}

#[test]
fn the_graph_hangs_together_and_holds_the_checkpoint() {
    let place = Place::new();
    place.train("--out run --max-steps 3");
    let checkpoint = place.checkpoint("run/best.safetensors");
    for (more, name, input) in [
        ("", "log_mel", ["batch", "32", "87"].as_slice()),
        (" --with-features", "samples", &["batch", "22050"]),
    ] {
        let (out, _) = place.ok(&format!("export --model run/best.safetensors --out m.onnx{more}"));
        assert_eq!(out.trim(), "m.onnx");
        let bytes = fs::read(place.path("m.onnx")).unwrap();
        let model = ModelProto::decode(&bytes[..]).unwrap();
        assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
        let metadata: HashMap<&str, &str> =
            model.metadata_props.iter().map(|p| (&*p.key, &*p.value)).collect();
        for key in ["labels", "preset", "normalization"] {
            assert_eq!(metadata[key], checkpoint.metadata[key]);
        }

        let graph = model.graph.unwrap();
        assert_eq!((&*graph.input[0].name, graph.input.len()), (name, 1));
        assert_eq!(shape(&graph.input[0].kind), input);
        assert_eq!((&*graph.output[0].name, graph.output.len()), ("probabilities", 1));
        assert_eq!(shape(&graph.output[0].kind), ["batch", &MOODS.len().to_string()]);

        // Each node reads what is there by then, and everything is read.
        let mut known: HashSet<&str> = graph.initializer.iter().map(|t| &*t.name).collect();
        assert_eq!(known.len(), graph.initializer.len());
        known.insert(name);
        let mut unread = known.clone();
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(&**input), "{} reads {input}", node.name);
                unread.remove(&**input);
            }
            for output in node.output.iter().filter(|output| !output.is_empty()) {
                assert!(known.insert(output), "{output} is written twice");
                unread.insert(output);
            }
        }
        assert_eq!(unread, HashSet::from(["probabilities"]));

        let size = |t: &moodshader::model::onnx::proto::TensorProto| t.dims.iter().product::<i64>();
        for tensor in &graph.initializer {
            let width = if tensor.data_type == FLOAT { 4 } else { 8 };
            assert_eq!(tensor.raw_data.len() as i64, width * size(tensor), "{}", tensor.name);
            // Under the checkpoint's name are the checkpoint's values.
            if let Some(ours) = checkpoint.tensors.get(&tensor.name) {
                let values: Vec<u8> = ours.values.iter().flat_map(|x| x.to_le_bytes()).collect();
                assert!(tensor.raw_data == values, "{}", tensor.name);
            }
        }
        let weights: BTreeSet<&str> = checkpoint
            .tensors
            .keys()
            .filter(|name| !name.contains(".lstm"))
            .map(String::as_str)
            .collect();
        assert!(weights.iter().all(|name| known.contains(name)));
    }
}

/// PyTorch's gates i, f, g, o become ONNX's i, o, f, c; directions lie one after the other.
#[test]
fn lstm_weights_are_reordered() {
    let place = Place::new();
    place.train("--out run --max-steps 0");
    place.ok("export --model run/last.safetensors --out m.onnx");
    let model = ModelProto::decode(&fs::read(place.path("m.onnx")).unwrap()[..]).unwrap();
    let graph = model.graph.unwrap();
    let tensor = |name: &str| -> (Vec<i64>, Vec<f32>) {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == name).unwrap();
        let words = tensor.raw_data.as_chunks().0.iter();
        (tensor.dims.clone(), words.map(|word| f32::from_le_bytes(*word)).collect())
    };
    let checkpoint: Checkpoint = place.checkpoint("run/last.safetensors");
    let (dims, r) = tensor("vertical.lstm0.R");
    assert_eq!(dims, [2, 32, 8]);
    for (direction, suffix) in ["", "_reverse"].iter().enumerate() {
        let ours = &checkpoint.tensors[&format!("vertical.lstm0.weight_hh_l0{suffix}")].values;
        let gates = [0, 3, 1, 2].map(|gate| &ours[gate * 64..][..64]).concat();
        assert!(r[direction * 256..][..256] == gates);
    }
    // The forget bias, 1 at the start, is in the third quarter, and the recurrence's is 0.
    let (dims, b) = tensor("vertical.lstm0.B");
    assert_eq!(dims, [2, 64]);
    let expected: Vec<f32> =
        (0..128).map(|at| if (16..24).contains(&(at % 64)) { 1.0 } else { 0.0 }).collect();
    assert_eq!(b, expected);
}

#[test]
fn wrong_use_is_named() {
    let place = Place::new();
    place.train("--out run --max-steps 0");
    let before = place.files("run");
    for (arguments, named) in [
        ("--model gone --out m.onnx", "gone"),
        ("--model data.csv --out m.onnx", "data.csv"),
        ("--model run/last.safetensors --out run/last.safetensors", "another file"),
        ("--model run/last.safetensors --out no/folder/m.onnx", "m.onnx"),
    ] {
        let output = place.run(&format!("export {arguments}"));
        let (_, err) = place::texts(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {err}");
        assert!(err.contains(named), "{arguments}: {err}");
    }
    assert!(before == place.files("run"));
}

/// Every kind of layer that a preset can ask for has its operators.
#[test]
fn other_presets_are_exported_too() {
    let place = Place::new();
    let front = "[[model.branch]]\nname = \"flat\"\nkernel = [1, 5]\nchannels = [3, 4]\npool = [2, 2]\n\
                 lstm = []\nsummary = \"mean_max\"\n";
    let rest = "[features]\nn_fft = 512\nhop = 256\nmels = 32\n[audio]\nclip_seconds = 1.0\n";
    let handcrafted = "[model.handcrafted]\nhidden = [4, 3]\n";
    let moods = "moods = [\"happy\", \"dark\", \"epic\"]\n";
    for (name, preset, operators) in [
        ("cnn", format!("{moods}{front}{rest}"), ["ReduceMean", "ReduceMax"]),
        (
            "rnn",
            format!("{moods}[model.rnn]\nlstm = [4, 3]\n{handcrafted}{rest}"),
            ["LSTM", "Relu"],
        ),
        ("sigmoid", format!("{moods}[model]\noutput = \"sigmoid\"\n{front}{rest}"), ["Sigmoid"; 2]),
    ] {
        fs::write(place.path("other.toml"), preset).unwrap();
        let start = format!("train --config other.toml --data data.csv --out {name} --max-steps 0");
        place.ok(&start);
        let export = format!("export --model {name}/last.safetensors --out {name}.onnx");
        place.ok(&export);
        let bytes = fs::read(place.path(&format!("{name}.onnx"))).unwrap();
        let graph = ModelProto::decode(&bytes[..]).unwrap().graph.unwrap();
        let used: HashSet<&str> = graph.node.iter().map(|node| &*node.op_type).collect();
        assert!(operators.iter().all(|operator| used.contains(operator)), "{name}: {used:?}");
        let inputs: Vec<&str> = graph.input.iter().map(|input| &*input.name).collect();
        let output = place.run(&format!("{export} --with-features"));
        if name == "rnn" {
            assert_eq!(inputs, ["log_mel", "handcrafted"]);
            assert_eq!(shape(&graph.input[1].kind), ["batch", "6"]);
            let (_, err) = place::texts(&output);
            assert_eq!(output.status.code(), Some(2), "{err}");
            assert!(err.contains("model.handcrafted"), "{err}");
        } else {
            assert_eq!(inputs, ["log_mel"]);
            assert!(output.status.success());
        }
    }
}
