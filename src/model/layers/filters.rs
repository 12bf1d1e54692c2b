//! A bank of filters over the spectrograms: convolution, ReLU, batch norm, and the maximum over all
//! frequencies.
//!
//! The activation, by far the largest tensor of a network that begins so, never exists as a whole: the
//! kernel keeps the maximum, and the backward pass computes the activation again, for as many clips
//! at a time as fit.

use super::map_norm::{MapNorm, gradients};
use super::{Init, Layer, Map, Parameter, Pullback, Shape};
use crate::kernels::layers::{batch_norm, conv, front};
use crate::model::onnx::{Attribute, Export};
use crate::model::packing::Packed;
use crate::model::planning::{Builder, Value};
use crate::plan::TensorId;
use front::{Bank, Filters as Shapes};

/// Filters of one shape, "same" over time and "valid" over frequency.
#[derive(Clone, Debug)]
pub struct Filters {
    name: String,
    channels: u32,
    /// Bands × steps of the input.
    plane: [u32; 2],
    /// Bands × steps of the kernel.
    kernel: [u32; 2],
}

impl Filters {
    /// Filters over an input of this shape.
    pub fn new(name: String, input: Shape, channels: usize, kernel: [usize; 2]) -> Self {
        let [_, bands, steps] = input.planes().map(|n| n as u32);
        let kernel = kernel.map(|n| n as u32);
        Self { name, channels: channels as u32, plane: [bands, steps], kernel }
    }

    fn quads(&self) -> u32 {
        self.channels.div_ceil(4)
    }

    fn frequencies(&self) -> u32 {
        self.plane[0] + 1 - self.kernel[0]
    }

    fn steps(&self) -> u32 {
        self.plane[1]
    }

    /// Numbers of a clip's activation.
    fn activation(&self) -> u32 {
        4 * self.quads() * self.frequencies() * self.steps()
    }

    fn norm(&self) -> MapNorm<'_> {
        MapNorm {
            owner: &self.name,
            channels: self.channels,
            elements: f64::from(self.frequencies()) * f64::from(self.steps()),
            pooled: self.steps(),
        }
    }

    fn shapes(&self, b: &Builder<'_>, clips: u32) -> Shapes {
        Shapes::new(clips, b.spectrograms(), self.channels, self.kernel, self.plane)
    }

    fn shares(&self, b: &Builder<'_>, clips: u32) -> u32 {
        let bank = Bank::launches(self.shapes(b, clips)).next();
        bank.map_or(0, |bank| b.plan.shares(front::forward::Params { bank }))
    }

    fn backward(
        &self,
        b: &mut Builder<'_>,
        input: TensorId,
        code: TensorId,
        d_output: TensorId,
        [moments, terms]: [TensorId; 2],
    ) {
        let d_parameters = gradients(b, &self.name, ["conv.weight", "conv.bias"]);
        // As many clips at a time as their gradients may be large.
        let most = (b.limits.part / self.activation()).clamp(1, b.batch);
        for first in (0..b.batch).step_by(most as usize) {
            let clips = most.min(b.batch - first);
            let gradient = b.scratch(&self.name, "d_convolution", clips * self.activation());
            let filters = self.shapes(b, clips).of_batch(b.batch, first);
            let tensors = front::backward::Tensors {
                input,
                weight: b.packed(&self.name, "forward"),
                bias: b.parameter(&self.name, "conv.bias"),
                d_output,
                code,
                moments,
                terms,
                gradient,
            };
            for bank in Bank::launches(filters) {
                b.step(front::backward::Params { bank }, tensors.clone());
            }
            let params = front::weight_gradient::Params { filters };
            let (shares, taps) = (b.plan.shares(params), params.taps());
            let partial = b.scratch(&self.name, "shares", 4 * shares * self.quads() * (taps + 1));
            b.step(params, front::weight_gradient::Tensors { gradient, input, partial });
            b.gradients_of_part(d_parameters, first > 0, |b, [d_weight, d_bias]| {
                b.step(
                    conv::entry_reduce::Params { out_channels: self.channels, taps, shares },
                    conv::entry_reduce::Tensors { partial, d_weight, d_bias },
                );
            });
        }
    }
}

impl Layer for Filters {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        let [channels, steps] = [self.channels, self.steps()].map(|n| n as usize);
        Shape::Map { channels, bands: 1, steps }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let (channels, [rows, columns]) = (self.channels as usize, self.kernel.map(|n| n as usize));
        let he = Init::HeNormal { fan_in: rows * columns };
        let own = |what, shape: &[usize], init| Parameter::new(&self.name, what, shape, init);
        vec![
            own("conv.weight", &[channels, 1, rows, columns], he),
            own("conv.bias", &[channels], Init::Zeros),
            own("bn.weight", &[channels], Init::Ones),
            own("bn.bias", &[channels], Init::Zeros),
        ]
    }

    fn buffers(&self) -> Vec<Parameter> {
        let own = |what, init| Parameter::new(&self.name, what, &[self.channels as usize], init);
        vec![own("bn.running_mean", Init::Zeros), own("bn.running_var", Init::Ones)]
    }

    fn largest(&self) -> usize {
        self.activation() as usize
    }

    fn packing(&self, _: bool) -> Vec<Packed> {
        vec![Packed {
            owner: self.name.clone(),
            what: "forward",
            parameter: "conv.weight",
            places: front::packing(self.channels, self.kernel),
        }]
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let input = inputs[0].plane();
        let places = b.batch * self.quads() * self.steps();
        let pooled = b.scratch(&self.name, "pooled", 4 * places);
        let code = b.plan.scratch_words(format!("{}.code", self.name), places as usize);
        let parts = b.clips([input, pooled, code]);
        let shares: u32 = parts.iter().map(|&[_, clips]| self.shares(b, clips)).sum();
        let share = 8 * self.quads();
        let partial = b.scratch(&self.name, "sums", share * shares);
        let mut done = 0;
        for clips in parts {
            let sums = self.shares(b, clips[1]);
            let tensors = front::forward::Tensors {
                input: b.part(input, clips),
                weight: b.packed(&self.name, "forward"),
                bias: b.parameter(&self.name, "conv.bias"),
                gamma: b.parameter(&self.name, "bn.weight"),
                pivot: b.buffer(&self.name, "bn.running_mean"),
                pooled: b.part(pooled, clips),
                code: b.part(code, clips),
                partial: b.plan.part(partial, (share * done) as usize, (share * sums) as usize),
            };
            done += sums;
            for bank in Bank::launches(self.shapes(b, clips[1])) {
                b.step(front::forward::Params { bank }, tensors.clone());
            }
        }
        let norm = self.norm().plan(b, partial, shares);
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_output = d.whole();
            let terms = self.norm().plan_backward(b, d_output, pooled, norm);
            self.backward(b, input, code, d_output, [norm.moments(), terms]);
            Vec::new()
        });
        (Value::Map(Map::new(pooled, norm.affine)), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let input = onnx.planes(&inputs[0]);
        let name = &self.name;
        let own = |what: &str| format!("{name}.{what}");
        let [weight, bias] = ["conv.weight", "conv.bias"].map(|what| onnx.tensor(&own(what)));
        let columns = i64::from(self.kernel[1]);
        let before = (columns - 1) / 2;
        let ones = || Attribute::Ints(vec![1, 1]);
        let settings = vec![
            ("dilations", ones()),
            ("pads", Attribute::Ints(vec![0, before, 0, columns - 1 - before])),
            ("strides", ones()),
        ];
        let x = onnx.graph.node(&own("conv"), "Conv", &[&input, &weight, &bias], settings);
        let x = onnx.graph.node(&own("relu"), "Relu", &[&x], vec![]);
        let [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|what| onnx.tensor(&own(&format!("bn.{what}"))));
        let epsilon = vec![("epsilon", Attribute::Float(batch_norm::EPSILON))];
        let inputs = [&*x, &scale, &shift, &mean, &variance];
        let x = onnx.graph.node(&own("bn"), "BatchNormalization", &inputs, epsilon);
        let over_frequency =
            vec![("axes", Attribute::Ints(vec![2])), ("keepdims", Attribute::Int(1))];
        onnx.graph.node(&own("max"), "ReduceMax", &[&x], over_frequency)
    }

    fn operations(&self) -> Vec<String> {
        let [rows, columns] = self.kernel;
        vec![
            format!("convolution {rows}\u{a0}×\u{a0}{columns}"),
            "ReLU".to_owned(),
            "batch norm".to_owned(),
            "maximum over frequency".to_owned(),
        ]
    }
}
