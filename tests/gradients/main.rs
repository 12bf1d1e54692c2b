//! Every backward reference against finite differences of its forward reference, in f64, and the
//! whole model as one function. The LSTM's kernels are tested as a part of it, and in tests/layers.rs.

use std::sync::Arc;

use moodshader::exec::CpuPrograms;
use moodshader::kernels::features::Spectrograms;
use moodshader::kernels::layers::conv::{
    Footprint, Lines, entry_backward, entry_forward, entry_reduce, input_gradient, weight_gradient,
    weight_gradient_reduce,
};
use moodshader::kernels::layers::{batch_norm, conv, dense, dropout, pool, relu, sequence};
use moodshader::kernels::loss::{positive_weights, sigmoid_bce, softmax_bce};
use moodshader::kernels::optim::adam;
use moodshader::kernels::{Facts, Kernel};
use moodshader::model::{Network, Purpose};
use moodshader::plan::Storage;
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

#[path = "support/small.rs"]
mod small;

/// Normalised error of a kernel's gradient. Differences of these functions are good to 1e-9.
const TOLERANCE: f64 = 1e-7;
/// The same for the whole model, whose third derivatives and whose rounding weigh more.
const MODEL_TOLERANCE: f64 = 1e-5;

fn normal(length: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.sample(rand_distr::StandardNormal)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A derivative at 0, and whether the first step was too large.
///
/// Where ReLU or pooling switches within the step, a difference over half the step is another: the
/// step then shrinks until both agree. `scale` says what counts as a difference.
fn derivative(scale: f64, mut f: impl FnMut(f64) -> f64) -> (f64, bool) {
    const STEP: f64 = 2e-5;
    let mut central = |step: f64| (f(step) - f(-step)) / (2.0 * step);
    let mut step = STEP;
    loop {
        let (coarse, fine) = (central(step), central(0.5 * step));
        if (coarse - fine).abs() <= 1e-6 * scale || step < 1e-3 * STEP {
            return (fine, step < STEP);
        }
        step *= 0.25;
    }
}

fn largest(values: &[f64]) -> f64 {
    values.iter().fold(1e-30, |most, x| x.abs().max(most))
}

fn error(got: &[f64], want: &[f64]) -> f64 {
    let square: f64 = got.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum();
    let norm = dot(want, want);
    if norm > 0.0 { (square / norm).sqrt() } else { square.sqrt() }
}

/// Compares `gradient` with differences of `loss` at every element of `at`.
fn check(what: &str, gradient: &[f64], at: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(gradient.len(), at.len());
    let scale = largest(gradient);
    let mut moved = at.to_vec();
    let mut kinks = 0;
    let mut differences = Vec::new();
    for element in 0..at.len() {
        let (slope, kinked) = derivative(scale, |step| {
            moved[element] = at[element] + step;
            loss(&moved)
        });
        moved[element] = at[element];
        differences.push(slope);
        kinks += usize::from(kinked);
    }
    let error = error(gradient, &differences);
    println!("{what}: {} elements, error {error:.1e}, {kinks} kinks", at.len());
    assert!(error < TOLERANCE, "{what}: {error:.1e}");
}

/// References leave their sums whole.
const ONE_SHARE: u32 = 1;

/// A convolution block's kernels at one shape, with inputs.
struct Convolution {
    clips: u32,
    channels: [u32; 2],
    lines: Lines,
    footprint: Footprint,
    input: Vec<f64>,
    affine: Vec<f64>,
    weight: Vec<f64>,
    bias: Vec<f64>,
    /// The loss is Σ d_output · output.
    d_output: Vec<f64>,
}

impl Convolution {
    fn new(kernel: [u32; 2], channels: [u32; 2], [bands, steps]: [u32; 2]) -> Self {
        let clips = 2;
        let lines = Lines::new(kernel, bands, steps);
        let footprint = Footprint::new(kernel, lines);
        let [ins, outs] = channels.map(|n| n as usize);
        let plane = (clips * bands * steps) as usize;
        Self {
            clips,
            channels,
            lines,
            footprint,
            input: normal(plane * ins.next_multiple_of(4), 1),
            affine: normal(2 * ins.next_multiple_of(4), 2),
            weight: normal(outs * ins * footprint.stored() as usize, 3),
            bias: normal(outs, 4),
            d_output: normal(plane * outs.next_multiple_of(4), 5),
        }
    }

    /// The weights for the forward pass and for the input gradient.
    fn packed(&self, weight: &[f64]) -> [Vec<f64>; 2] {
        conv::packing(self.channels, self.footprint).map(|table| {
            table.iter().map(|&at| weight.get(at as usize).copied().unwrap_or(0.0)).collect()
        })
    }

    fn output(&self, input: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
        let launches =
            conv::forward::Params::launches(self.clips, self.channels, self.lines, self.footprint);
        let lengths = launches[0].lengths();
        let mut output = vec![0.0; lengths.output];
        for params in launches {
            params.reference(conv::forward::Slices {
                input,
                affine: &self.affine,
                weight: &self.packed(weight)[0],
                bias,
                pivot: &normal(lengths.pivot, 6),
                output: &mut output,
                partial: &mut vec![0.0; lengths.partial],
            });
        }
        output
    }

    fn check(&self, what: &str) {
        let ins = self.channels[0];
        let output = self.output(&self.input, &self.weight, &self.bias);
        // The backward kernels start below the ReLU.
        let d_output: Vec<_> = output
            .iter()
            .zip(&self.d_output)
            .map(|(&y, &d)| if y > 0.0 { d } else { 0.0 })
            .collect();

        let mut d_input = vec![f64::NAN; self.input.len()];
        for params in
            input_gradient::Params::launches(self.clips, self.channels, self.lines, self.footprint)
        {
            params.reference(input_gradient::Slices {
                d_output: &d_output,
                weight: &self.packed(&self.weight)[1],
                d_input: &mut d_input,
            });
        }
        // It is the gradient to the scaled input.
        let plane = (4 * self.lines.length * self.lines.lines) as usize;
        let quads = ins.div_ceil(4) as usize;
        for (at, d) in d_input.iter_mut().enumerate() {
            *d *= self.affine[4 * (at / plane % quads) + at % 4];
        }

        let params =
            weight_gradient::Params::new(self.clips, self.channels, self.lines, self.footprint);
        let lengths = params.lengths();
        let mut partial = vec![f64::NAN; lengths.partial];
        let mut bias_partial = vec![f64::NAN; lengths.bias_partial];
        params.reference(weight_gradient::Slices {
            d_output: &d_output,
            input: &self.input,
            affine: &self.affine,
            partial: &mut partial,
            bias_partial: &mut bias_partial,
        });
        let mut d_weight = vec![f64::NAN; self.weight.len()];
        let mut d_bias = vec![f64::NAN; self.bias.len()];
        weight_gradient_reduce::Params::new(self.channels, self.footprint, ONE_SHARE).reference(
            weight_gradient_reduce::Slices {
                partial: &partial,
                bias_partial: &bias_partial,
                d_weight: &mut d_weight,
                d_bias: &mut d_bias,
            },
        );

        check(&format!("{what}: input"), &d_input, &self.input, |input| {
            dot(&self.output(input, &self.weight, &self.bias), &self.d_output)
        });
        check(&format!("{what}: weight"), &d_weight, &self.weight, |weight| {
            dot(&self.output(&self.input, weight, &self.bias), &self.d_output)
        });
        check(&format!("{what}: bias"), &d_bias, &self.bias, |bias| {
            dot(&self.output(&self.input, &self.weight, bias), &self.d_output)
        });
    }
}

#[test]
fn convolution() {
    Convolution::new([1, 5], [3, 6], [2, 7]).check("over time");
    Convolution::new([7, 1], [5, 2], [6, 3]).check("over frequency");
    Convolution::new([9, 1], [4, 4], [2, 3]).check("taps that only meet padding");
    Convolution::new([3, 5], [3, 2], [4, 6]).check("over both");
    Convolution::new([3, 3], [2, 5], [5, 4]).check("over both, as high as long");
    Convolution::new([11, 3], [1, 2], [13, 4]).check("over both, in two runs of taps");
    Convolution::new([5, 9], [2, 1], [2, 7]).check("lines that only meet padding");
    Convolution::new([1, 3], [61, 62], [1, 3]).check("two launches");
    // Longer than the segments that a weight gradient is cut into.
    Convolution::new([1, 3], [1, 1], [1, 70]).check("two segments");
}

/// The first block of a branch: from its input to the normalised, pooled output.
struct Entry {
    params: entry_forward::Params,
    backward: entry_backward::Params,
    input: Vec<f64>,
    /// Elements of a channel over the batch.
    elements: f64,
    /// Positions of a pooled plane.
    pooled_plane: u32,
}

struct EntryState {
    pooled: Vec<f64>,
    code: Vec<u32>,
    moments: Vec<f64>,
    output: Vec<f64>,
}

const ENTRY_CHANNELS: u32 = 6;
const ENTRY_BATCH: u32 = 3;

impl Entry {
    fn new(kernel: [u32; 2], [bands, steps]: [u32; 2], window: [u32; 2]) -> Self {
        let lines = Lines::new(kernel, bands, steps);
        let taps = kernel[0].max(kernel[1]);
        let (batch, channels) = (ENTRY_BATCH, ENTRY_CHANNELS);
        let input = Spectrograms { mean: 0.25, inverse_deviation: 1.5 };
        let entry = conv::Entry::new(batch, input, channels, lines, taps, window);
        Self {
            params: entry_forward::Params { entry },
            backward: entry_backward::Params { entry },
            input: normal((ENTRY_BATCH * bands * steps) as usize, 1),
            elements: f64::from(ENTRY_BATCH * bands * steps),
            pooled_plane: (bands / window[0]) * (steps / window[1]),
        }
    }

    fn forward(&self, [weight, bias, gamma, beta]: [&[f64]; 4]) -> EntryState {
        let lengths = self.params.lengths();
        let pivot = vec![0.25; gamma.len()];
        let mut pooled = vec![f64::NAN; lengths.pooled];
        let mut code = vec![0; lengths.code];
        let mut partial = vec![f64::NAN; lengths.partial];
        self.params.reference(entry_forward::Slices {
            input: &self.input,
            weight,
            bias,
            gamma,
            pivot: &pivot,
            pooled: &mut pooled,
            code: &mut code,
            partial: &mut partial,
        });
        let norm = batch_norm::statistics::Params::new(ENTRY_CHANNELS, ONE_SHARE, self.elements);
        let lengths = norm.lengths();
        let (mut moments, mut affine) = (vec![0.0; lengths.moments], vec![0.0; lengths.affine]);
        norm.reference(batch_norm::statistics::Slices {
            partial: &partial,
            gamma,
            beta,
            running_mean: &mut pivot.clone(),
            running_var: &mut vec![1.0; gamma.len()],
            moments: &mut moments,
            affine: &mut affine,
        });
        let quads = ENTRY_CHANNELS.div_ceil(4) as usize;
        let output = pooled
            .iter()
            .enumerate()
            .map(|(at, &x)| {
                let c = 4 * (at / (4 * self.pooled_plane as usize) % quads) + at % 4;
                affine[c] * x + affine[4 * quads + c]
            })
            .collect();
        EntryState { pooled, code, moments, output }
    }

    /// The gradients to weight, bias, gamma and beta.
    fn gradients(
        &self,
        weight: &[f64],
        bias: &[f64],
        state: &EntryState,
        d_output: &[f64],
    ) -> [Vec<f64>; 4] {
        let quads = ENTRY_CHANNELS.div_ceil(4);
        let sums = batch_norm::gradient_sums::Params {
            clips: ENTRY_BATCH,
            quads,
            plane: self.pooled_plane,
        };
        let mut partial = vec![f64::NAN; sums.lengths().partial];
        sums.reference(batch_norm::gradient_sums::Slices {
            d_output,
            pooled: &state.pooled,
            moments: &state.moments,
            partial: &mut partial,
        });
        let reduce = batch_norm::gradient_reduce::Params {
            channels: ENTRY_CHANNELS,
            shares: ONE_SHARE,
            elements: self.elements as f32,
        };
        let mut d_gamma = vec![f64::NAN; ENTRY_CHANNELS as usize];
        let mut d_beta = d_gamma.clone();
        let mut terms = vec![f64::NAN; reduce.lengths().terms];
        reduce.reference(batch_norm::gradient_reduce::Slices {
            partial: &partial,
            d_gamma: &mut d_gamma,
            d_beta: &mut d_beta,
            terms: &mut terms,
        });
        let mut shares = vec![f64::NAN; self.backward.lengths().partial];
        self.backward.reference(entry_backward::Slices {
            input: &self.input,
            weight,
            bias,
            d_output,
            code: &state.code,
            moments: &state.moments,
            terms: &terms,
            partial: &mut shares,
        });
        let mut d_weight = vec![f64::NAN; weight.len()];
        let mut d_bias = vec![f64::NAN; bias.len()];
        entry_reduce::Params {
            out_channels: ENTRY_CHANNELS,
            taps: weight.len() as u32 / ENTRY_CHANNELS,
            shares: ONE_SHARE,
        }
        .reference(entry_reduce::Slices {
            partial: &shares,
            d_weight: &mut d_weight,
            d_bias: &mut d_bias,
        });
        [d_weight, d_bias, d_gamma, d_beta]
    }
}

#[test]
fn first_block() {
    // Windows that leave a rest along and across the lines, and none at all.
    for (kernel, plane, window) in
        [([1_u32, 5_u32], [5, 13], [2, 3]), ([5, 1], [9, 5], [4, 2]), ([1, 3], [3, 6], [1, 1])]
    {
        let entry = Entry::new(kernel, plane, window);
        let channels = ENTRY_CHANNELS as usize;
        let weight = normal(channels * kernel[0].max(kernel[1]) as usize, 2);
        let bias = normal(channels, 3);
        let gamma = [1.5, -0.5, 0.75, -1.25, 0.5, 1.0];
        let beta = normal(channels, 4);
        let state = entry.forward([&weight, &bias, &gamma, &beta]);
        let d_output = normal(state.output.len(), 5);
        let [d_weight, d_bias, d_gamma, d_beta] =
            entry.gradients(&weight, &bias, &state, &d_output);
        let loss = |parameters: [&[f64]; 4]| dot(&entry.forward(parameters).output, &d_output);
        check("weight", &d_weight, &weight, |weight| loss([weight, &bias, &gamma, &beta]));
        check("bias", &d_bias, &bias, |bias| loss([&weight, bias, &gamma, &beta]));
        check("gamma", &d_gamma, &gamma, |gamma| loss([&weight, &bias, gamma, &beta]));
        check("beta", &d_beta, &beta, |beta| loss([&weight, &bias, &gamma, beta]));
    }
}

/// From the input of the ReLU to the normalised, pooled output.
struct Block {
    clips: u32,
    channels: u32,
    plane: [u32; 2],
    window: [u32; 2],
}

struct BlockState {
    activation: Vec<f64>,
    pooled: Vec<f64>,
    moments: Vec<f64>,
    output: Vec<f64>,
}

impl Block {
    fn quads(&self) -> usize {
        self.channels.div_ceil(4) as usize
    }

    fn elements(&self) -> f64 {
        f64::from(self.clips * self.plane[0] * self.plane[1])
    }

    fn pooled_plane(&self) -> u32 {
        (self.plane[0] / self.window[0]) * (self.plane[1] / self.window[1])
    }

    /// The channel, of all quads, of an element of a map with `plane` positions.
    fn channel(&self, at: usize, plane: u32) -> usize {
        4 * (at / (4 * plane as usize) % self.quads()) + at % 4
    }

    fn forward(&self, z: &[f64], gamma: &[f64], beta: &[f64]) -> BlockState {
        let padded = 4 * self.quads();
        let plane = self.plane[0] * self.plane[1];
        let activation: Vec<f64> = z.iter().map(|&z| z.max(0.0)).collect();
        let pivot = 0.25;
        let mut partial = vec![0.0; 2 * padded];
        for (at, &x) in activation.iter().enumerate() {
            let c = self.channel(at, plane);
            partial[c / 4 * 8 + c % 4] += x - pivot;
            partial[c / 4 * 8 + 4 + c % 4] += (x - pivot).powi(2);
        }
        let (mut moments, mut affine) = (vec![0.0; 3 * padded], vec![0.0; 2 * padded]);
        batch_norm::statistics::Params::new(self.channels, ONE_SHARE, self.elements()).reference(
            batch_norm::statistics::Slices {
                partial: &partial,
                gamma,
                beta,
                running_mean: &mut vec![pivot; gamma.len()],
                running_var: &mut vec![1.0; gamma.len()],
                moments: &mut moments,
                affine: &mut affine,
            },
        );
        let params = pool::forward::Params {
            batch: self.clips,
            channels: self.channels,
            windows: pool::Windows::new(self.plane, self.window),
        };
        let mut pooled = vec![f64::NAN; params.lengths().output];
        params.reference(pool::forward::Slices { input: &activation, gamma, output: &mut pooled });
        let output = pooled
            .iter()
            .enumerate()
            .map(|(at, &x)| {
                let c = self.channel(at, self.pooled_plane());
                affine[c] * x + affine[padded + c]
            })
            .collect();
        BlockState { activation, pooled, moments, output }
    }

    /// The gradients to the input, gamma and beta.
    fn backward(&self, state: BlockState, d_output: &[f64]) -> [Vec<f64>; 3] {
        let quads = self.quads() as u32;
        let params = batch_norm::gradient_sums::Params {
            clips: self.clips,
            quads,
            plane: self.pooled_plane(),
        };
        let mut partial = vec![f64::NAN; params.lengths().partial];
        params.reference(batch_norm::gradient_sums::Slices {
            d_output,
            pooled: &state.pooled,
            moments: &state.moments,
            partial: &mut partial,
        });
        let params = batch_norm::gradient_reduce::Params {
            channels: self.channels,
            shares: ONE_SHARE,
            elements: self.elements() as f32,
        };
        let mut d_gamma = vec![f64::NAN; self.channels as usize];
        let mut d_beta = d_gamma.clone();
        let mut terms = vec![f64::NAN; params.lengths().terms];
        params.reference(batch_norm::gradient_reduce::Slices {
            partial: &partial,
            d_gamma: &mut d_gamma,
            d_beta: &mut d_beta,
            terms: &mut terms,
        });
        let mut d_z = state.activation;
        batch_norm::backward::Params {
            batch: self.clips,
            quads,
            windows: pool::Windows::new(self.plane, self.window),
        }
        .reference(batch_norm::backward::Slices {
            d_output,
            pooled: &state.pooled,
            moments: &state.moments,
            terms: &terms,
            activation: &mut d_z,
        });
        [d_z, d_gamma, d_beta]
    }
}

#[test]
fn relu_batch_norm_and_pooling() {
    // Windows that leave a rest, none at all, and gammas of both signs.
    for (plane, window) in [([5, 7], [2, 3]), ([3, 4], [1, 1])] {
        let block = Block { clips: 2, channels: 6, plane, window };
        let mut z = normal((2 * plane[0] * plane[1]) as usize * 4 * block.quads(), 1);
        for (at, z) in z.iter_mut().enumerate() {
            // As the convolution leaves the channels past the last.
            if block.channel(at, plane[0] * plane[1]) >= 6 {
                *z = 0.0;
            }
        }
        let gamma = [1.5, -0.5, 0.75, -1.25, 0.5, 1.0];
        let beta = normal(6, 2);
        let state = block.forward(&z, &gamma, &beta);
        let d_output = normal(state.output.len(), 3);
        let [d_z, d_gamma, d_beta] = block.backward(state, &d_output);
        let loss = |z: &[f64], gamma: &[f64], beta: &[f64]| {
            dot(&block.forward(z, gamma, beta).output, &d_output)
        };
        // The padding channels' zeros lie on the ReLU's kink, and nothing depends on them.
        check("input", &d_z, &z, |z| loss(z, &gamma, &beta));
        check("gamma", &d_gamma, &gamma, |gamma| loss(&z, gamma, &beta));
        check("beta", &d_beta, &beta, |beta| loss(&z, &gamma, beta));
    }
}

#[test]
fn dense_layer() {
    let (batch, inputs, outputs) = (3, 5, 4);
    let (x, weight, bias) = (normal(15, 1), normal(20, 2), normal(4, 3));
    let d_output = normal(12, 4);
    let loss = |input: &[f64], weight: &[f64], bias: &[f64]| {
        let mut output = vec![f64::NAN; 12];
        let slices = dense::forward::Slices { input, weight, bias, output: &mut output };
        dense::forward::Params { batch, inputs, outputs }.reference(slices);
        dot(&output, &d_output)
    };
    let mut d_x = vec![f64::NAN; 15];
    dense::input_gradient::Params { batch, inputs, outputs }.reference(
        dense::input_gradient::Slices { d_output: &d_output, weight: &weight, d_input: &mut d_x },
    );
    let (mut d_weight, mut d_bias) = (vec![f64::NAN; 20], vec![f64::NAN; 4]);
    dense::weight_gradient::Params { batch, inputs, outputs }.reference(
        dense::weight_gradient::Slices {
            d_output: &d_output,
            input: &x,
            d_weight: &mut d_weight,
            d_bias: &mut d_bias,
        },
    );
    check("input", &d_x, &x, |x| loss(x, &weight, &bias));
    check("weight", &d_weight, &weight, |weight| loss(&x, weight, &bias));
    check("bias", &d_bias, &bias, |bias| loss(&x, &weight, bias));
}

#[test]
fn dropout_layer() {
    let control = [4, 9, 0, 0];
    let (x, d_output) = (normal(100, 1), normal(100, 2));
    let mut d_x = vec![f64::NAN; 100];
    let slices = dropout::forward::Slices { control: &control, input: &d_output, output: &mut d_x };
    dropout::forward::Params::new(100, 0.7).reference(slices);
    assert!(d_x.contains(&0.0), "some elements are dropped");
    check("input", &d_x, &x, |input| {
        let mut output = vec![f64::NAN; 100];
        let slices = dropout::forward::Slices { control: &control, input, output: &mut output };
        dropout::forward::Params::new(100, 0.7).reference(slices);
        dot(&output, &d_output)
    });
}

#[test]
fn sequence_of_a_map() {
    let (batch, channels, bands, steps) = (2, 6, 3, 4);
    let params = sequence::forward::Params { batch, channels, bands, steps };
    let lengths = params.lengths();
    let (x, affine) = (normal(lengths.input, 1), normal(lengths.affine, 2));
    let d_output = normal(lengths.output, 3);
    let mut d_x = vec![f64::NAN; lengths.input];
    let slices = sequence::backward::Slices { d_output: &d_output, d_input: &mut d_x };
    sequence::backward::Params { batch, channels, bands, steps }.reference(slices);
    // It is the gradient to the scaled map.
    for (at, d) in d_x.iter_mut().enumerate() {
        *d *= affine[4 * (at / (4 * 12) % 2) + at % 4];
    }
    check("input", &d_x, &x, |input| {
        let mut output = vec![f64::NAN; lengths.output];
        params.reference(sequence::forward::Slices { input, affine: &affine, output: &mut output });
        dot(&output, &d_output)
    });
}

#[test]
fn mean_and_maximum_over_time() {
    let (batch, steps, columns, width, offset) = (2, 5, 3, 11, 4);
    let params = sequence::mean_max::Params { batch, steps, columns, width, offset };
    let x = normal(30, 1);
    let d_features = normal(22, 2);
    let run = |x: &[f64], place: &mut [u32]| {
        let mut features = vec![0.0; 22];
        params.reference(sequence::mean_max::Slices { x, features: &mut features, place });
        features
    };
    let gradient = |place: &[u32]| {
        let mut d_x = vec![f64::NAN; 30];
        sequence::mean_max_gradient::Params { batch, steps, columns, width, offset }.reference(
            sequence::mean_max_gradient::Slices { d_features: &d_features, place, d_x: &mut d_x },
        );
        d_x
    };
    let mut place = vec![9; 6];
    run(&x, &mut place);
    check("input", &gradient(&place), &x, |x| dot(&run(x, &mut [0; 6]), &d_features));

    // A maximum that several steps share belongs to the first of them.
    let mut tied = x;
    for t in 0..5 {
        tied[3 * t] = if t == 0 { -1.0 } else { 0.5 };
    }
    run(&tied, &mut place);
    assert_eq!(place[0], 1);
    let d_x = gradient(&place);
    let mean = d_features[4] / 5.0;
    assert_eq!([d_x[0], d_x[3], d_x[6]], [mean, mean + d_features[7], mean]);
}

#[test]
fn relu_into_columns() {
    let (batch, columns, width, offset) = (3, 4, 9, 2);
    let (x, d_output) = (normal(12, 1), normal(27, 2));
    let mut d_x = vec![f64::NAN; 12];
    relu::backward::Params { batch, columns, width, offset }.reference(relu::backward::Slices {
        input: &x,
        d_output: &d_output,
        d_input: &mut d_x,
    });
    assert!(d_x.contains(&0.0), "some elements are negative");
    check("input", &d_x, &x, |input| {
        let mut output = vec![0.0; 27];
        let slices = relu::forward::Slices { input, output: &mut output };
        relu::forward::Params { batch, columns, width, offset }.reference(slices);
        dot(&output, &d_output)
    });
}

#[test]
fn softmax_with_binary_cross_entropy() {
    let (batch, moods) = (4, 5);
    let params = softmax_bce::Params { batch, moods };
    let mut logits = normal(20, 1);
    // One probability past the lower clip; all past the clips.
    logits[5] = -30.0;
    logits[10] = 40.0;
    let targets: Vec<f64> = (0..20).map(|i| f64::from(i % 3 == 0)).collect();
    let run = |logits: &[f64], d_logits: &mut [f64]| {
        let mut loss = vec![f64::NAN; 4];
        params.reference(softmax_bce::Slices {
            logits,
            targets: &targets,
            probabilities: &mut [0.0; 20],
            loss: &mut loss,
            d_logits,
        });
        loss.iter().sum::<f64>() / 4.0
    };
    let mut d_logits = vec![f64::NAN; 20];
    run(&logits, &mut d_logits);
    assert_eq!(&d_logits[10..15], &[0.0; 5], "no gradient where every probability is clipped");
    check("logits", &d_logits, &logits, |logits| run(logits, &mut [0.0; 20]));
}

#[test]
fn sigmoid_with_binary_cross_entropy() {
    let params = sigmoid_bce::Params { batch: 4, moods: 5 };
    let mut logits = normal(20, 1);
    // Where a plain sigmoid has no digits left, on both sides.
    (logits[3], logits[7], logits[12]) = (-50.0, 50.0, 30.0);
    let targets: Vec<f64> = (0..20).map(|i| f64::from(i % 3 == 0)).collect();
    let run = |logits: &[f64], d_logits: &mut [f64]| {
        let mut loss = vec![f64::NAN; 4];
        params.reference(sigmoid_bce::Slices {
            logits,
            targets: &targets,
            probabilities: &mut [0.0; 20],
            loss: &mut loss,
            d_logits,
        });
        loss.iter().sum::<f64>() / 4.0
    };
    let mut d_logits = vec![f64::NAN; 20];
    run(&logits, &mut d_logits);
    assert_eq!(d_logits[3], -1.0 / 20.0, "a target that is missed by far pulls with full force");
    check("logits", &d_logits, &logits, |logits| run(logits, &mut [0.0; 20]));
}

/// The weighted loss, written out from its definition, against what the two kernels leave.
#[test]
fn class_weights() {
    let (batch, moods) = (4, 5);
    let mut logits = normal(20, 1);
    logits[5] = -30.0;
    let targets: Vec<f64> = (0..20).map(|i| f64::from(i % 2 == 0)).collect();
    let weights = [0.5, 1.0, 4.0, 2.5, 9.0];
    for softmax in [0, 1] {
        let run = |logits: &[f64]| {
            let mut probabilities = vec![f64::NAN; 20];
            let (mut loss, mut d_logits) = (vec![f64::NAN; 4], vec![f64::NAN; 20]);
            let (probabilities, targets) = (&mut probabilities, &targets);
            if softmax == 1 {
                softmax_bce::Params { batch, moods }.reference(softmax_bce::Slices {
                    logits,
                    targets,
                    probabilities,
                    loss: &mut loss,
                    d_logits: &mut d_logits,
                });
            } else {
                sigmoid_bce::Params { batch, moods }.reference(sigmoid_bce::Slices {
                    logits,
                    targets,
                    probabilities,
                    loss: &mut loss,
                    d_logits: &mut d_logits,
                });
            }
            positive_weights::Params { batch, moods, softmax }.reference(
                positive_weights::Slices {
                    logits,
                    targets,
                    weights: &weights,
                    loss: &mut loss,
                    d_logits: &mut d_logits,
                },
            );
            let defined: f64 = (0..20)
                .map(|i| {
                    let p = match softmax {
                        1 => probabilities[i].clamp(1e-7, 1.0 - 1e-7),
                        _ => probabilities[i],
                    };
                    -weights[i % 5] * targets[i] * p.ln() - (1.0 - targets[i]) * (1.0 - p).ln()
                })
                .sum();
            let loss = loss.iter().sum::<f64>() / 4.0;
            assert!((loss / (defined / 20.0) - 1.0).abs() < 1e-6, "{loss} {}", defined / 20.0);
            (loss, d_logits)
        };
        let (_, d_logits) = run(&logits);
        check("logits", &d_logits, &logits, |logits| run(logits).0);
    }
}

/// Adam as PyTorch's documentation writes it.
#[test]
fn adam_follows_its_formula() {
    let (rate, [beta1, beta2], epsilon) = (1e-3, [0.9_f64, 0.999_f64], 1e-8);
    let params = adam::Params::new(2, [beta1, beta2], epsilon);
    let start = normal(8, 1);
    let (mut w, mut m, mut v) = (start.clone(), vec![0.0; 8], vec![0.0; 8]);
    let (mut parameter, mut exp_avg, mut exp_avg_sq) = (start.clone(), vec![0.0; 8], vec![0.0; 8]);
    for update in 0..20 {
        let gradient = normal(8, 100 + update);
        let t = update as i32 + 1;
        for i in 0..8 {
            m[i] = beta1 * m[i] + (1.0 - beta1) * gradient[i];
            v[i] = beta2 * v[i] + (1.0 - beta2) * gradient[i] * gradient[i];
            let (m_hat, v_hat) = (m[i] / (1.0 - beta1.powi(t)), v[i] / (1.0 - beta2.powi(t)));
            w[i] -= rate * m_hat / (v_hat.sqrt() + epsilon);
        }
        params.reference(adam::Slices {
            control: &adam::control(update, 3, rate, [beta1, beta2]),
            gradient: &gradient,
            exp_avg: &mut exp_avg,
            exp_avg_sq: &mut exp_avg_sq,
            parameter: &mut parameter,
            status: &mut [u32::MAX],
        });
    }
    let way = |to: &[f64]| -> Vec<f64> { to.iter().zip(&start).map(|(a, b)| a - b).collect() };
    // The kernel's constants are f32.
    assert!(error(&exp_avg, &m) < 1e-6);
    assert!(error(&exp_avg_sq, &v) < 1e-6);
    assert!(error(&way(&parameter), &way(&w)) < 1e-6);
}

#[test]
fn whole_model() {
    const BATCH: usize = 2;
    /// Elements of a large tensor that are tested.
    const TESTED: usize = 40;
    const TRAINS: &str = "a training plan has one";
    let network = Network::new(&small::preset(), small::NORMALIZATION);
    let program = network.program(BATCH, Purpose::Training, &Facts::PORTABLE);
    let batch = small::Batch::draw(&program, 1);
    let state = small::State::draw(&network, 2);
    // Without a learning rate the parameters stay where the differences put them.
    let control = adam::control(3, 7, 0.0, network.preset().train.betas);
    let handles = program.handles;
    let plan = Arc::new(program.plan);
    let start = || {
        let mut programs = CpuPrograms::<f64>::new(vec![Arc::clone(&plan)]);
        let inputs = [
            (handles.log_mel, moodshader::exec::Input::F32(&batch.log_mel)),
            (handles.targets.expect(TRAINS), moodshader::exec::Input::F32(&batch.targets)),
            (handles.control.expect(TRAINS), moodshader::exec::Input::U32(&control)),
        ];
        state.put(&mut programs);
        moodshader::exec::Executor::run(&mut programs, 0, &inputs).expect("the CPU does not fail");
        programs
    };
    let gradients = start().storage_mut(Storage::Gradients).to_vec();

    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut elements = Vec::new();
    for (name, offset, length) in network.layout(Storage::Parameters).entries() {
        let scale = largest(&gradients[offset..offset + length]);
        let mut chosen = sample(&mut rng, length, length.min(TESTED)).into_vec();
        chosen.sort_unstable();
        elements.extend(chosen.into_iter().map(|element| (name, offset + element, scale)));
    }
    let differences: Vec<(f64, bool)> = elements
        .par_iter()
        .map_init(start, |programs, &(_, at, scale)| {
            let value = f64::from(state.parameters[at]);
            let slope = derivative(scale, |step| {
                for (to, &from) in
                    programs.storage_mut(Storage::Buffers).iter_mut().zip(&state.buffers)
                {
                    *to = f64::from(from);
                }
                programs.storage_mut(Storage::Parameters)[at] = value + step;
                programs.replay(0);
                let losses = programs.values(0, handles.loss.expect(TRAINS));
                losses.iter().sum::<f64>() / BATCH as f64
            });
            programs.storage_mut(Storage::Parameters)[at] = value;
            slope
        })
        .collect();

    let kinks = differences.iter().filter(|(_, kinked)| *kinked).count();
    println!("{} elements, {kinks} tested again with smaller steps", elements.len());
    let mut failures = Vec::new();
    for (name, _, length) in network.layout(Storage::Parameters).entries() {
        let of_tensor = elements.iter().zip(&differences).filter(|(element, _)| element.0 == name);
        let (got, want): (Vec<f64>, Vec<f64>) =
            of_tensor.map(|(element, difference)| (gradients[element.1], difference.0)).unzip();
        let error = error(&got, &want);
        println!("{name}: {} of {length}, error {error:.1e}", got.len());
        assert!(dot(&want, &want) > 0.0, "{name} has no influence");
        if error.is_nan() || error >= MODEL_TOLERANCE {
            failures.push(format!("{name}: {error:.1e}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
