//! The tensors of a preset's model by name, and their first values.
//!
//! Names and layouts are PyTorch's, so that a checkpoint is read there without a table of names.
//! The order is that of the layers in the model's graph, since parameters, gradients and both of
//! Adam's moments lie flat in it. In an LSTM both directions of one kind lie side by side, and gates
//! are in the order i, f, g, o. PyTorch's second bias, `bias_hh_l0`, is not trained: only files have
//! it.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::model::graph::Graph;
use crate::model::preset::Preset;
use crate::plan::Storage;

pub use crate::model::layers::{Init, Parameter};

/// The layers of a preset that can work.
///
/// # Panics
/// When [`Preset::validate`] refuses it.
fn graph(preset: &Preset) -> Graph {
    Graph::of(preset).unwrap_or_else(|error| panic!("{error}"))
}

/// Every tensor with weights of a preset's model.
///
/// # Panics
/// When [`Preset::validate`] refuses the preset; so do all functions of this module.
pub fn parameters(preset: &Preset) -> Vec<Parameter> {
    graph(preset).parameters()
}

/// Names and shapes of tensors.
pub(crate) fn shapes(tensors: Vec<Parameter>) -> Vec<(String, Vec<usize>)> {
    tensors.into_iter().map(|tensor| (tensor.name, tensor.shape)).collect()
}

/// Names and shapes of [`parameters`].
pub fn parameter_shapes(preset: &Preset) -> Vec<(String, Vec<usize>)> {
    shapes(parameters(preset))
}

/// Names and shapes of batch norm's running statistics.
pub fn buffer_shapes(preset: &Preset) -> Vec<(String, Vec<usize>)> {
    shapes(graph(preset).buffers())
}

/// The layers that `train.trainable` has trained.
fn trained(preset: &Preset) -> Graph {
    let graph = graph(preset);
    match graph.cut(preset.train.trainable) {
        Some(cut) => graph.after(cut),
        None => graph,
    }
}

/// What a run needs beside the model to go on, and the prefix of the names in a checkpoint: Adam's moments of
/// every trained tensor, and, with `train.average_epochs`, the averages of the trained tensors and of the
/// running statistics.
pub fn optimizer_storages(preset: &Preset) -> &'static [(Storage, &'static str)] {
    const ALL: [(Storage, &str); 4] = [
        (Storage::ExpAvg, "optimizer.exp_avg."),
        (Storage::ExpAvgSq, "optimizer.exp_avg_sq."),
        (Storage::AverageParameters, "optimizer.average."),
        (Storage::AverageBuffers, "optimizer.average."),
    ];
    match preset.train.average_epochs {
        Some(_) => &ALL,
        None => &ALL[..2],
    }
}

/// Names and shapes of the tensors in [`optimizer_storages`].
pub fn optimizer_shapes(preset: &Preset) -> Vec<(String, Vec<usize>)> {
    let graph = trained(preset);
    let of = |&(storage, prefix): &(Storage, &'static str)| {
        let tensors = match storage {
            Storage::AverageBuffers => graph.buffers(),
            _ => graph.parameters(),
        };
        shapes(tensors).into_iter().map(move |(name, shape)| (format!("{prefix}{name}"), shape))
    };
    optimizer_storages(preset).iter().flat_map(of).collect()
}

/// First values of [`parameters`], in their order.
///
/// Each tensor is drawn from a stream of its own, keyed by `seed` and its name: a layer more or
/// less changes no other tensor.
pub fn initialise(preset: &Preset, seed: u64) -> Vec<(String, Vec<f32>)> {
    drawn(parameters(preset), seed)
}

/// First values of [`buffer_shapes`], in their order: mean 0, variance 1.
pub fn initialise_buffers(preset: &Preset) -> Vec<(String, Vec<f32>)> {
    drawn(graph(preset).buffers(), 0)
}

fn drawn(tensors: Vec<Parameter>, seed: u64) -> Vec<(String, Vec<f32>)> {
    let with_values = |tensor: Parameter| {
        let values = first_values(&tensor, seed);
        (tensor.name, values)
    };
    tensors.into_iter().map(with_values).collect()
}

fn first_values(parameter: &Parameter, seed: u64) -> Vec<f32> {
    let count = parameter.elements();
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
