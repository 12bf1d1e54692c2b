//! A checkpoint's network as an ONNX model, for runtimes such as onnxruntime.
//!
//! ```text
//! log_mel [batch, mels, frames], dB ─► standardise ─► branches ─► head ─► probabilities [batch, moods]
//! ```
//!
//! The graph computes what [`Network::inference`](crate::model::Network::inference) plans, in the
//! operators of opset 17. Weights keep their names; an LSTM's are joined and reordered, since
//! ONNX has the gates in the order i, o, f, c and PyTorch in i, f, g, o.

mod features;
mod graph;
pub mod proto;

use std::collections::HashMap;

use prost::Message;

use crate::error::{Error, Result};
use crate::kernels::features::HANDCRAFTED;
use crate::model::checkpoint::{Checkpoint, Description, HandcraftedNormalization};
use crate::model::parameters::{buffer_shapes, parameter_shapes};
use crate::model::preset::{Branch, Output, Preset, Summary};
use graph::{Attribute, Dimension, Graph};
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// The first with STFT.
const OPSET: i64 = 17;
/// Of the file format, as old as the opset.
const IR_VERSION: i64 = 8;

/// Batch norm's.
const EPSILON: f32 = 1e-5;

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `log_mel`, [batch, mels, frames]: dB, as `moodshader features` writes them. A model with
    /// hand-crafted features has a second input, `handcrafted` [batch, 6].
    LogMel,
    /// `samples`, [batch, samples]: a clip at the preset's rate; the graph computes the features.
    Samples,
}

/// The bytes of an ONNX file.
///
/// # Errors
/// Hand-crafted features are to be computed in the graph; a checkpoint that is damaged.
pub fn export(checkpoint: &Checkpoint, input: Input) -> Result<Vec<u8>> {
    let description = checkpoint.description()?;
    let preset = &description.preset;
    if preset.model.handcrafted.is_some() && input == Input::Samples {
        return Err(Error::input(
            "model.handcrafted: the hand-crafted features cannot be computed in ONNX; export without \
             --with-features, and give them as a second input",
        ));
    }
    let mut values = checkpoint.values(&parameter_shapes(preset))?;
    values.extend(checkpoint.values(&buffer_shapes(preset))?);
    let mut export =
        Export { preset, graph: Graph::default(), values: values.into_iter().collect() };
    export.network(&description, input);
    let model = ModelProto {
        ir_version: IR_VERSION,
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(export.graph.finish("moodshader")),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        metadata_props: metadata(checkpoint),
    };
    Ok(model.encode_to_vec())
}

/// What a checkpoint says of its model: labels, preset, normalisation, thresholds.
fn metadata(checkpoint: &Checkpoint) -> Vec<StringStringEntryProto> {
    let entry = |(key, value): (&String, &String)| StringStringEntryProto {
        key: key.clone(),
        value: value.clone(),
    };
    // What only training needs is left out.
    checkpoint.metadata.iter().filter(|(key, _)| *key != "epoch_loss").map(entry).collect()
}

struct Export<'a> {
    preset: &'a Preset,
    graph: Graph,
    /// The checkpoint's tensors that are not yet in the graph.
    values: HashMap<String, Vec<f32>>,
}

impl Export<'_> {
    fn network(&mut self, description: &Description, input: Input) {
        let preset = self.preset;
        let (mels, frames) = (preset.features.mels, preset.frames());
        let shape = [Dimension::Batch, Dimension::Size(mels), Dimension::Size(frames)];
        let log_mel = match input {
            Input::LogMel => self.graph.input(
                "log_mel",
                &shape,
                "log-mel in dB, low bands first, before standardisation",
            ),
            Input::Samples => features::append(&mut self.graph, preset),
        };
        let mean = self.graph.floats("mean", &[], &[description.normalization.mean as f32]);
        let std = self.graph.floats("std", &[], &[description.normalization.std as f32]);
        let centred = self.graph.node("centred", "Sub", &[&log_mel, &mean], vec![]);
        let standard = self.graph.node("standardised", "Div", &[&centred, &std], vec![]);

        let mut summaries = Vec::new();
        if !preset.model.branch.is_empty() {
            let axis = self.graph.integers("channel_axis", &[1], &[1]);
            let planes = self.graph.node("planes", "Unsqueeze", &[&standard, &axis], vec![]);
            for branch in &preset.model.branch {
                summaries.push(self.branch(branch, &planes));
            }
        }
        if let Some(rnn) = &preset.model.rnn {
            let order = Attribute::Ints(vec![2, 0, 1]);
            let sequence =
                self.graph.node("rnn.sequence", "Transpose", &[&standard], vec![("perm", order)]);
            summaries.push(self.lstms("rnn", &rnn.lstm, sequence));
        }
        if let (Some(embedding), Some(normalization)) =
            (&preset.model.handcrafted, description.normalization.handcrafted)
        {
            summaries.push(self.handcrafted(&embedding.hidden, normalization));
        }
        let parts: Vec<&str> = summaries.iter().map(String::as_str).collect();
        let axis = vec![("axis", Attribute::Int(1))];
        let summary = self.graph.node("summary", "Concat", &parts, axis);

        let moods = preset.moods.len();
        let logits = self.dense("dense", "logits", &summary, [moods, preset.head_features()]);
        match preset.model.output {
            Output::Softmax => {
                let axis = vec![("axis", Attribute::Int(1))];
                self.graph.node("probabilities", "Softmax", &[&logits], axis)
            }
            Output::Sigmoid => self.graph.node("probabilities", "Sigmoid", &[&logits], vec![]),
        };
        let shape = [Dimension::Batch, Dimension::Size(moods)];
        self.graph.output("probabilities", &shape, "of each mood, in the order of the labels");
    }

    /// Blocks and what summarises them, from planes [batch, 1, mels, frames] to [batch, features].
    fn branch(&mut self, branch: &Branch, planes: &str) -> String {
        let mut x = planes.to_owned();
        let [rows, columns] = branch.kernel;
        let last = branch.channels.len() - 1;
        for (i, block) in self.preset.block_shapes(branch).into_iter().enumerate() {
            let name = format!("{}.blocks.{i}", branch.name);
            let (ins, outs) = (block.in_channels, block.out_channels);
            let weight = self.tensor(&format!("{name}.conv.weight"), &[outs, ins, rows, columns]);
            let bias = self.tensor(&format!("{name}.conv.bias"), &[outs]);
            let [top, left] = [rows / 2, columns / 2].map(|n| n as i64);
            let pads = vec![("pads", Attribute::Ints(vec![top, left, top, left]))];
            x = self.graph.node(&format!("{name}.conv"), "Conv", &[&x, &weight, &bias], pads);
            x = self.graph.node(&format!("{name}.relu"), "Relu", &[&x], vec![]);
            let norm = ["weight", "bias", "running_mean", "running_var"]
                .map(|what| self.tensor(&format!("{name}.bn.{what}"), &[outs]));
            let [scale, shift, mean, variance] = norm.each_ref().map(String::as_str);
            let epsilon = vec![("epsilon", Attribute::Float(EPSILON))];
            x = self.graph.node(
                &format!("{name}.bn"),
                "BatchNormalization",
                &[&x, scale, shift, mean, variance],
                epsilon,
            );
            if i < last {
                let window = || Attribute::Ints(branch.pool.map(|n| n as i64).to_vec());
                let pool = vec![("kernel_shape", window()), ("strides", window())];
                x = self.graph.node(&format!("{name}.pool"), "MaxPool", &[&x], pool);
            }
        }
        // [batch, channels, bands, steps] → [steps, batch, channels · bands]
        let name = format!("{}.sequence", branch.name);
        let order = vec![("perm", Attribute::Ints(vec![3, 0, 1, 2]))];
        let turned = self.graph.node(&format!("{name}.turned"), "Transpose", &[&x], order);
        let joined = self.graph.integers(&format!("{name}.shape"), &[3], &[0, 0, -1]);
        let sequence = self.graph.node(&name, "Reshape", &[&turned, &joined], vec![]);
        match branch.summary {
            None => self.lstms(&branch.name, &branch.lstm, sequence),
            Some(Summary::MeanMax) => {
                let over_time =
                    || vec![("axes", Attribute::Ints(vec![0])), ("keepdims", Attribute::Int(0))];
                let [mean, max] =
                    [("mean", "ReduceMean"), ("max", "ReduceMax")].map(|(what, operator)| {
                        let name = format!("{}.{what}", branch.name);
                        self.graph.node(&name, operator, &[&sequence], over_time())
                    });
                let axis = vec![("axis", Attribute::Int(1))];
                let name = format!("{}.summary", branch.name);
                self.graph.node(&name, "Concat", &[&mean, &max], axis)
            }
        }
    }

    /// The embedding of the second input, [batch, features].
    fn handcrafted(&mut self, hidden: &[usize], normalization: HandcraftedNormalization) -> String {
        let HandcraftedNormalization { mean, std } = normalization;
        let shape = [Dimension::Batch, Dimension::Size(HANDCRAFTED)];
        let input = self.graph.input(
            "handcrafted",
            &shape,
            "mean and deviation of zero crossing rate, spectral centroid and rolloff, before \
             standardisation",
        );
        let [mean, std] = [("mean", mean), ("std", std)].map(|(what, values)| {
            let name = format!("handcrafted.{what}");
            self.graph.floats(&name, &[HANDCRAFTED], &values.map(|value| value as f32))
        });
        let centred = self.graph.node("handcrafted.centred", "Sub", &[&input, &mean], vec![]);
        let mut x = self.graph.node("handcrafted.standardised", "Div", &[&centred, &std], vec![]);
        let mut inputs = HANDCRAFTED;
        for (k, &units) in hidden.iter().enumerate() {
            let name = format!("handcrafted.fc{k}");
            let sums = self.dense(&name, &format!("{name}.sums"), &x, [units, inputs]);
            x = self.graph.node(&format!("{name}.relu"), "Relu", &[&sums], vec![]);
            inputs = units;
        }
        x
    }

    /// Weights · x + bias; `shape` is outputs × inputs.
    fn dense(&mut self, name: &str, output: &str, x: &str, shape: [usize; 2]) -> String {
        let weight = self.tensor(&format!("{name}.weight"), &shape);
        let bias = self.tensor(&format!("{name}.bias"), &shape[..1]);
        let transposed = vec![("transB", Attribute::Int(1))];
        self.graph.node(output, "Gemm", &[x, &weight, &bias], transposed)
    }

    /// Bidirectional LSTMs, from a sequence [steps, batch, features] to the last states of the last
    /// one, [batch, 2 · units].
    fn lstms(&mut self, owner: &str, layers: &[usize], mut x: String) -> String {
        for (j, &units) in layers.iter().enumerate() {
            let name = format!("{owner}.lstm{j}");
            let [w, r, b] = self.lstm_weights(&name, units);
            let settings = vec![
                ("direction", Attribute::Text("bidirectional")),
                ("hidden_size", Attribute::Int(units as i64)),
            ];
            let inputs = [&*x, &w, &r, &b];
            let (all, ends) = (format!("{name}.states"), format!("{name}.ends"));
            let (output, outputs, order, shape) = match j + 1 == layers.len() {
                // [2, batch, units] → [batch, 2 · units]
                true => (&ends, ["", &ends], vec![1, 0, 2], vec![0, -1]),
                // [steps, 2, batch, units] → [steps, batch, 2 · units]
                false => (&all, [&*all, ""], vec![0, 2, 1, 3], vec![0, 0, -1]),
            };
            let used = if outputs[1].is_empty() { &outputs[..1] } else { &outputs[..] };
            self.graph.nodes(&name, "LSTM", &inputs, used, settings);
            let order = vec![("perm", Attribute::Ints(order))];
            let turned = self.graph.node(&format!("{name}.turned"), "Transpose", &[output], order);
            let joined = self.graph.integers(&format!("{name}.shape"), &[shape.len()], &shape);
            x = self.graph.node(&format!("{name}.output"), "Reshape", &[&turned, &joined], vec![]);
        }
        x
    }

    /// W [2, 4 · units, features], R [2, 4 · units, units] and B [2, 8 · units] of both directions.
    fn lstm_weights(&mut self, name: &str, units: usize) -> [String; 3] {
        let mut joined = [Vec::new(), Vec::new(), Vec::new()];
        for direction in ["", "_reverse"] {
            for (kind, joined) in ["weight_ih", "weight_hh", "bias_ih"].iter().zip(&mut joined) {
                let values = self.take(&format!("{name}.{kind}_l0{direction}"));
                let gates: Vec<&[f32]> = values.chunks(values.len() / 4).collect();
                // i, f, g, o → i, o, f, c
                joined.extend([0, 3, 1, 2].into_iter().flat_map(|gate| gates[gate]).copied());
            }
            // The recurrence has no bias of its own.
            joined[2].resize(joined[2].len() + 4 * units, 0.0);
        }
        let [w, r, b] = joined;
        let features = w.len() / (8 * units);
        [
            self.graph.floats(&format!("{name}.W"), &[2, 4 * units, features], &w),
            self.graph.floats(&format!("{name}.R"), &[2, 4 * units, units], &r),
            self.graph.floats(&format!("{name}.B"), &[2, 8 * units], &b),
        ]
    }

    /// A tensor of the checkpoint as a constant of the same name.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> String {
        let values = self.take(name);
        self.graph.floats(name, shape, &values)
    }

    /// # Panics
    /// When the preset has no such tensor: a mistake here.
    fn take(&mut self, name: &str) -> Vec<f32> {
        self.values.remove(name).unwrap_or_else(|| panic!("the model has no tensor {name}"))
    }
}
