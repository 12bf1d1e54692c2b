//! Convolutions behind the first.

use moodshader::kernels::Kernel;
use moodshader::kernels::layers::conv::{
    self, Footprint, Lines, input_gradient, weight_gradient, weight_gradient_reduce,
};

use crate::ONE_SHARE;
use crate::differences::{check, dot, normal};

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
