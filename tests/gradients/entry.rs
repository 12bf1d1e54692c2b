//! The first block of a branch.

use moodshader::kernels::Kernel;
use moodshader::kernels::features::Spectrograms;
use moodshader::kernels::layers::batch_norm;
use moodshader::kernels::layers::conv::{self, Lines, entry_backward, entry_forward, entry_reduce};

use crate::ONE_SHARE;
use crate::differences::{check, dot, normal};

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
