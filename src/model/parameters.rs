//! The tensors of a model: names, shapes and first values, all from the preset.
//!
//! Names and layouts are PyTorch's, so that a checkpoint is read there without a table of names.
//! The order is fixed, since parameters, gradients and both of Adam's moments lie flat in it:
//!
//! 1. each branch, in the preset's order: its blocks (`NAME.blocks.I.conv.weight`, `conv.bias`,
//!    `bn.weight`, `bn.bias`), then its LSTMs;
//! 2. `rnn`'s LSTMs, where a preset has one in place of the branches;
//! 3. `handcrafted.fcK.weight`, `.bias`;
//! 4. `dense.weight`, `dense.bias`.
//!
//! In an LSTM both directions of one kind lie side by side: `weight_ih_l0`, `weight_ih_l0_reverse`,
//! `weight_hh_l0`, `weight_hh_l0_reverse`, `bias_ih_l0`, `bias_ih_l0_reverse`. Gates are in the
//! order i, f, g, o. PyTorch's second bias, `bias_hh_l0`, is not trained: only files have it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::kernels::features::HANDCRAFTED;
use crate::model::preset::Preset;

/// How a trained tensor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Normal, deviation √(2 / fan_in), not truncated (He et al. 2015).
    HeNormal {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Uniform within ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010). An LSTM's input weights
    /// count as one matrix for the four gates, as in Keras.
    GlorotUniform {
        /// Inputs of one output.
        fan_in: usize,
        /// Outputs.
        fan_out: usize,
    },
    /// The columns of the whole matrix are orthonormal (Saxe et al. 2014).
    Orthogonal,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// An LSTM's bias: 1 in the forget gate, the second quarter, and 0 in the others.
    ForgetBias,
}

/// One trained tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As in the checkpoint.
    pub name: String,
    /// Row-major, the last dimension the fastest.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
}

/// Every trained tensor of a preset's model, in the order above.
pub fn parameters(preset: &Preset) -> Vec<Parameter> {
    let mut list = List(Vec::new());
    for branch in &preset.model.branch {
        let [rows, columns] = branch.kernel;
        for (i, block) in preset.block_shapes(branch).iter().enumerate() {
            let prefix = format!("{}.blocks.{i}", branch.name);
            let (inputs, outputs) = (block.in_channels, block.out_channels);
            let he = Init::HeNormal { fan_in: inputs * rows * columns };
            list.add(&prefix, "conv.weight", &[outputs, inputs, rows, columns], he);
            list.add(&prefix, "conv.bias", &[outputs], Init::Zeros);
            list.add(&prefix, "bn.weight", &[outputs], Init::Ones);
            list.add(&prefix, "bn.bias", &[outputs], Init::Zeros);
        }
        list.add_lstms(&branch.name, preset.sequence(branch).features, &branch.lstm);
    }
    if let Some(rnn) = &preset.model.rnn {
        list.add_lstms("rnn", preset.features.mels, &rnn.lstm);
    }
    if let Some(handcrafted) = &preset.model.handcrafted {
        let mut inputs = HANDCRAFTED;
        for (k, &units) in handcrafted.hidden.iter().enumerate() {
            list.add_dense(&format!("handcrafted.fc{k}"), inputs, units);
            inputs = units;
        }
    }
    list.add_dense("dense", preset.head_features(), preset.moods.len());
    list.0
}

struct List(Vec<Parameter>);

impl List {
    fn add(&mut self, prefix: &str, name: &str, shape: &[usize], init: Init) {
        self.0.push(Parameter { name: format!("{prefix}.{name}"), shape: shape.to_vec(), init });
    }

    fn add_dense(&mut self, prefix: &str, inputs: usize, outputs: usize) {
        let glorot = Init::GlorotUniform { fan_in: inputs, fan_out: outputs };
        self.add(prefix, "weight", &[outputs, inputs], glorot);
        self.add(prefix, "bias", &[outputs], Init::Zeros);
    }

    /// A stack of bidirectional LSTMs: each but the first reads both directions of the one before.
    fn add_lstms(&mut self, owner: &str, mut inputs: usize, layers: &[usize]) {
        for (j, &units) in layers.iter().enumerate() {
            let prefix = format!("{owner}.lstm{j}");
            let gates = 4 * units;
            let glorot = Init::GlorotUniform { fan_in: inputs, fan_out: gates };
            for (name, shape, init) in [
                ("weight_ih_l0", &[gates, inputs][..], glorot),
                ("weight_hh_l0", &[gates, units], Init::Orthogonal),
                ("bias_ih_l0", &[gates], Init::ForgetBias),
            ] {
                self.add(&prefix, name, shape, init);
                self.add(&prefix, &format!("{name}_reverse"), shape, init);
            }
            inputs = 2 * units;
        }
    }
}

/// Names and shapes of [`parameters`].
pub fn parameter_shapes(preset: &Preset) -> Vec<(String, Vec<usize>)> {
    parameters(preset).into_iter().map(|p| (p.name, p.shape)).collect()
}

/// Names and shapes of what training tracks without gradients: per branch and block
/// `bn.running_mean`, then `bn.running_var`, both `[channels]`.
pub fn buffer_shapes(preset: &Preset) -> Vec<(String, Vec<usize>)> {
    let mut buffers = Vec::new();
    for branch in &preset.model.branch {
        for (i, &channels) in branch.channels.iter().enumerate() {
            for name in ["running_mean", "running_var"] {
                buffers.push((format!("{}.blocks.{i}.bn.{name}", branch.name), vec![channels]));
            }
        }
    }
    buffers
}

/// Names and shapes of the optimiser's state: Adam's first moment of every trained tensor, then the
/// second.
pub fn optimizer_shapes(preset: &Preset) -> Vec<(String, Vec<usize>)> {
    let parameters = parameter_shapes(preset);
    ["exp_avg", "exp_avg_sq"]
        .iter()
        .flat_map(|moment| {
            parameters
                .iter()
                .map(move |(name, shape)| (format!("optimizer.{moment}.{name}"), shape.clone()))
        })
        .collect()
}

/// First values of [`parameters`], in their order.
///
/// Each tensor is drawn from a stream of its own, keyed by `seed` and its name: a layer more or
/// less changes no other tensor.
pub fn initialise(preset: &Preset, seed: u64) -> Vec<(String, Vec<f32>)> {
    parameters(preset)
        .into_iter()
        .map(|parameter| {
            let values = first_values(&parameter, seed);
            (parameter.name, values)
        })
        .collect()
}

/// First values of [`buffer_shapes`], in their order: mean 0, variance 1.
pub fn initialise_buffers(preset: &Preset) -> Vec<(String, Vec<f32>)> {
    buffer_shapes(preset)
        .into_iter()
        .map(|(name, shape)| {
            let value = if name.ends_with("running_var") { 1.0 } else { 0.0 };
            (name, vec![value; shape.iter().product()])
        })
        .collect()
}

fn first_values(parameter: &Parameter, seed: u64) -> Vec<f32> {
    let count = parameter.shape.iter().product();
    let mut stream = stream_of(seed, &parameter.name);
    match parameter.init {
        Init::HeNormal { fan_in } => {
            let deviation = (2.0 / fan_in as f64).sqrt();
            let draw = || (deviation * stream.sample::<f64, _>(StandardNormal)) as f32;
            std::iter::repeat_with(draw).take(count).collect()
        }
        Init::GlorotUniform { fan_in, fan_out } => {
            let limit = (6.0 / (fan_in + fan_out) as f64).sqrt();
            let draw = || (limit * (2.0 * stream.random::<f64>() - 1.0)) as f32;
            std::iter::repeat_with(draw).take(count).collect()
        }
        Init::Orthogonal => {
            let columns = parameter.shape[1];
            orthonormal_columns(parameter.shape[0], columns, &mut stream)
        }
        Init::Zeros => vec![0.0; count],
        Init::Ones => vec![1.0; count],
        Init::ForgetBias => {
            let units = count / 4;
            (0..count).map(|gate| if gate / units == 1 { 1.0 } else { 0.0 }).collect()
        }
    }
}

fn stream_of(seed: u64, name: &str) -> ChaCha8Rng {
    let key = blake3::Hasher::new().update(&seed.to_le_bytes()).update(name.as_bytes()).finalize();
    ChaCha8Rng::from_seed(*key.as_bytes())
}

/// Q of a normal matrix [rows, columns] with rows ≥ columns, row-major: uniform over all matrices
/// with orthonormal columns.
///
/// Gram–Schmidt, each column cleaned twice of the ones before it, which keeps it orthogonal to
/// rounding. R's diagonal is then positive, as uniformity asks (Mezzadri 2007).
fn orthonormal_columns(rows: usize, columns: usize, stream: &mut ChaCha8Rng) -> Vec<f32> {
    let mut q: Vec<Vec<f64>> = Vec::with_capacity(columns);
    for _ in 0..columns {
        let mut column: Vec<f64> = stream.sample_iter(StandardNormal).take(rows).collect();
        for _ in 0..2 {
            for earlier in &q {
                let overlap = dot(&column, earlier);
                column.iter_mut().zip(earlier).for_each(|(x, e)| *x -= overlap * e);
            }
        }
        let length = dot(&column, &column).sqrt();
        column.iter_mut().for_each(|x| *x /= length);
        q.push(column);
    }
    (0..rows).flat_map(|row| q.iter().map(move |column| column[row] as f32)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
