//! Log-mel features in ONNX's operators, by the same recipe as `features/`'s kernels.

use super::graph::{Attribute, Dimension, Graph};
use crate::kernels::features::MelFilters;
use crate::model::preset::{Preset, Scale};

/// The smallest power that has a level, as librosa's `power_to_db`.
const LEAST_POWER: f32 = 1e-10;

/// Appends the input `samples` [batch, samples] and what makes `log_mel` [batch, mels, frames] of it.
pub fn append(graph: &mut Graph, preset: &Preset) -> String {
    let (rate, samples) = (preset.audio.sample_rate, preset.cut().samples);
    let features = &preset.features;
    let (n_fft, bins) = (features.n_fft, features.n_fft / 2 + 1);
    let meaning = format!("mono at {rate} Hz, full scale ±1");
    let shape = [Dimension::Batch, Dimension::Size(samples)];
    let input = graph.input("samples", &shape, &meaning);

    // Frames are centred; beyond the clip is silence, unless the input has what lies there.
    let padded = match features.context {
        true => input,
        false => {
            let half = n_fft as i64 / 2;
            let pads = graph.integers("stft.pads", &[4], &[0, half, 0, half]);
            graph.node("stft.padded", "Pad", &[&input, &pads], vec![])
        }
    };
    // A real signal has one channel.
    let channel = graph.integers("stft.channel", &[1], &[2]);
    let signal = graph.node("stft.signal", "Unsqueeze", &[&padded, &channel], vec![]);
    let hop = graph.integers("stft.hop", &[], &[features.hop as i64]);
    let length = graph.integers("stft.length", &[], &[n_fft as i64]);
    let hann = |n: usize| {
        let turn = std::f64::consts::TAU * n as f64 / n_fft as f64;
        (0.5 - 0.5 * turn.cos()) as f32
    };
    let window: Vec<f32> = (0..n_fft).map(hann).collect();
    let window = graph.floats("stft.window", &[n_fft], &window);
    // [batch, frames, bins, 2]
    let inputs = [&*signal, &hop, &window, &length];
    let spectrum = graph.node("stft", "STFT", &inputs, vec![("onesided", Attribute::Int(1))]);
    let squares = graph.node("stft.squares", "Mul", &[&spectrum, &spectrum], vec![]);
    let parts = graph.integers("stft.parts", &[1], &[3]);
    let flat = vec![("keepdims", Attribute::Int(0))];
    let power = graph.node("power", "ReduceSum", &[&squares, &parts], flat);

    let filters = MelFilters::slaney(rate, n_fft, features.mels, features.fmin, features.fmax);
    let mut weights = vec![0.0; bins * features.mels];
    for (mel, band) in filters.bands.chunks_exact(3).enumerate() {
        let [first, count, start] = [band[0], band[1], band[2]].map(|n| n as usize);
        for at in 0..count {
            weights[(first + at) * features.mels + mel] = filters.weights[start + at] as f32;
        }
    }
    let weights = graph.floats("mel.weights", &[bins, features.mels], &weights);
    let energies = graph.node("mel", "MatMul", &[&power, &weights], vec![]);
    let order = vec![("perm", Attribute::Ints(vec![0, 2, 1]))];
    let energies = graph.node("mel.turned", "Transpose", &[&energies], order);

    if features.scale == Scale::Log10 {
        let gain = graph.floats("gain", &[], &[1e4]);
        let raised = graph.node("mel.raised", "Mul", &[&energies, &gain], vec![]);
        let one = graph.floats("one", &[], &[1.0]);
        let above_one = graph.node("mel.above_one", "Add", &[&raised, &one], vec![]);
        let logarithm = graph.node("mel.log", "Log", &[&above_one], vec![]);
        let factor = graph.floats("log10_per_e", &[], &[(1.0 / std::f64::consts::LN_10) as f32]);
        return graph.node("log_mel", "Mul", &[&logarithm, &factor], vec![]);
    }
    let least = graph.floats("least_power", &[], &[LEAST_POWER]);
    let floored = graph.node("mel.floored", "Max", &[&energies, &least], vec![]);
    let logarithm = graph.node("mel.log", "Log", &[&floored], vec![]);
    let factor = graph.floats("decibels_per_e", &[], &[(10.0 / std::f64::consts::LN_10) as f32]);
    let decibels = graph.node("decibels", "Mul", &[&logarithm, &factor], vec![]);
    let clip = vec![("axes", Attribute::Ints(vec![1, 2]))];
    let peak = graph.node("decibels.peak", "ReduceMax", &[&decibels], clip);
    let range = graph.floats("top_db", &[], &[features.top_db as f32]);
    let floor = graph.node("decibels.floor", "Sub", &[&peak, &range], vec![]);
    graph.node("log_mel", "Max", &[&decibels, &floor], vec![])
}
