//! A checkpoint's network as an ONNX model, for runtimes such as onnxruntime.
//!
//! ```text
//! log_mel [batch, mels, frames], dB ─► standardise ─► branches ─► head ─► probabilities [batch, moods]
//! ```
//!
//! The operators of opset 17 compute what an inference plan does: each layer of the model's graph
//! writes its own. Weights keep their names; an LSTM's are joined and reordered, since ONNX has the
//! gates in the order i, o, f, c and PyTorch in i, f, g, o.

mod features;
mod graph;
pub mod proto;

use std::collections::HashMap;

use prost::Message;

use crate::error::{Error, Result};
use crate::model::checkpoint::{Checkpoint, Normalization, Tensor};
use crate::model::parameters::{buffer_shapes, parameter_shapes};
use crate::model::preset::{Preset, Scale};
use graph::Graph;
pub(super) use graph::{Attribute, Dimension};
use proto::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// The first with STFT.
const OPSET: i64 = 17;
/// Version of the file format, as old as the opset.
const IR_VERSION: i64 = 8;

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
    let mut shapes = parameter_shapes(preset);
    shapes.extend(buffer_shapes(preset));
    let values = checkpoint.values(&shapes)?;
    let tensors = values
        .into_iter()
        .zip(shapes)
        .map(|((name, values), (_, shape))| (name, Tensor { shape, values }));
    let mut export = Export {
        graph: Graph::default(),
        normalization: description.normalization,
        preset,
        input,
        tensors: tensors.collect(),
        planes: HashMap::new(),
    };
    crate::model::Graph::of(preset)?.export(&mut export);
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

/// An ONNX model in the making.
pub(super) struct Export<'a> {
    pub graph: Graph,
    pub normalization: Normalization,
    preset: &'a Preset,
    input: Input,
    /// The checkpoint's tensors that are not yet in the graph.
    tensors: HashMap<String, Tensor>,
    /// The values that convolutions read, by the planes without an axis for the channel.
    planes: HashMap<String, String>,
}

impl Export<'_> {
    /// The log-mel spectrograms: an input, or computed from one.
    pub fn log_mel(&mut self) -> String {
        let (mels, frames) = (self.preset.features.mels, self.preset.frames());
        let shape = [Dimension::Batch, Dimension::Size(mels), Dimension::Size(frames)];
        match self.input {
            Input::LogMel => self.graph.input(
                "log_mel",
                &shape,
                match self.preset.features.scale {
                    Scale::Decibels => "log-mel in dB, low bands first, before standardisation",
                    Scale::Log10 => {
                        "log10(1 + 10000 · mel), low bands first, before standardisation"
                    }
                },
            ),
            Input::Samples => features::append(&mut self.graph, self.preset),
        }
    }

    /// (input − mean) / std; `owner` begins the names.
    pub fn standardised(
        &mut self,
        owner: &str,
        input: &str,
        shape: &[usize],
        mean: &[f64],
        std: &[f64],
    ) -> String {
        let [mean, std] = [("mean", mean), ("std", std)].map(|(what, values)| {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            self.graph.floats(&format!("{owner}{what}"), shape, &values)
        });
        let centred = self.graph.node(&format!("{owner}centred"), "Sub", &[input, &mean], vec![]);
        self.graph.node(&format!("{owner}standardised"), "Div", &[&centred, &std], vec![])
    }

    /// [batch, mels, frames] with an axis for the channel, once for all that read it.
    pub fn planes(&mut self, input: &str) -> String {
        if let Some(planes) = self.planes.get(input) {
            return planes.clone();
        }
        let owner = if self.planes.is_empty() { String::new() } else { format!("{input}.") };
        let axis = self.graph.integers(&format!("{owner}channel_axis"), &[1], &[1]);
        let name = format!("{owner}planes");
        let planes = self.graph.node(&name, "Unsqueeze", &[input, &axis], vec![]);
        self.planes.insert(input.to_owned(), planes.clone());
        planes
    }

    /// A tensor of the checkpoint as a constant of the same name.
    pub fn tensor(&mut self, name: &str) -> String {
        let Tensor { shape, values } = self.take(name);
        self.graph.floats(name, &shape, &values)
    }

    /// # Panics
    /// When the preset has no such tensor: a mistake of a layer.
    pub fn take(&mut self, name: &str) -> Tensor {
        self.tensors.remove(name).unwrap_or_else(|| panic!("the model has no tensor {name}"))
    }
}
