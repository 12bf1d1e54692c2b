//! ReLU, batch norm and pooling of the blocks behind the first.

use moodshader::kernels::Kernel;
use moodshader::kernels::layers::{batch_norm, pool};

use crate::ONE_SHARE;
use crate::differences::{check, dot, normal};

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
