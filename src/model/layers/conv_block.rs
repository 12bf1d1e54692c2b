//! A convolution block: convolution, ReLU, batch norm and max pooling.
//!
//! Between blocks flows what pooling kept of a block's activation, not yet normalised, with the
//! scale and shift that the next kernel applies as it reads. The first block's activation would be
//! the largest tensor by far: where the `entry_` kernels take the block, it never exists, and the
//! backward pass computes it again.

use std::cell::Cell;
use std::rc::Rc;

use super::map_norm::{MapNorm, gradients};
use super::{Init, Layer, Parameter, Pullback, Shape};
use crate::kernels::Kernel;
use crate::kernels::features::Spectrograms;
use crate::kernels::layers::{batch_norm, conv, pool};
use crate::model::onnx::{Attribute, Export};
use crate::model::packing::Packed;
use crate::model::planning::{Builder, Value};
use crate::plan::TensorId;
use conv::{Footprint, Lines};

/// A convolution with "same" zero padding, ReLU, batch norm, max pooling.
#[derive(Clone, Debug)]
pub struct ConvBlock {
    name: String,
    /// Those that it reads and those that it writes.
    channels: [u32; 2],
    /// Bands and steps before the pool.
    plane: [u32; 2],
    /// Frequency × time.
    kernel: [u32; 2],
    /// Bands and steps that pooling makes one of.
    window: [u32; 2],
    /// Whether it reads the input itself, whose gradient nobody wants.
    first: bool,
    lines: Lines,
    footprint: Footprint,
}

/// What a block leaves for whatever reads it.
#[derive(Clone)]
pub struct Map {
    /// What pooling kept of the activation, [batch, quads, pooled plane, 4].
    pub values: TensorId,
    /// [2, quads, 4]: the scale and the shift that normalise it.
    pub affine: TensorId,
    /// Computes the values again for a backward pass, where they are not kept.
    again: Option<Again>,
}

type Again = Rc<dyn Fn(&mut Builder<'_>) -> Kept>;

impl Map {
    /// Values that are kept.
    pub fn new(values: TensorId, affine: TensorId) -> Self {
        Self { values, affine, again: None }
    }

    /// The values in a backward pass.
    fn values_again(&self, b: &mut Builder<'_>) -> TensorId {
        self.again.as_ref().map_or(self.values, |again| again(b).pooled)
    }
}

/// What the `entry_` kernels leave of a first block's activation.
#[derive(Clone, Copy)]
struct Kept {
    pooled: TensorId,
    /// Which position each window kept.
    code: TensorId,
    /// Sums for batch norm, and in how many shares.
    partial: TensorId,
    shares: u32,
}

impl ConvBlock {
    /// A block on planes of this shape.
    pub fn new(
        name: String,
        input: Shape,
        channels: usize,
        kernel: [usize; 2],
        window: [usize; 2],
    ) -> Self {
        let [in_channels, bands, steps] = input.planes().map(|n| n as u32);
        let (kernel, window) = (kernel.map(|n| n as u32), window.map(|n| n as u32));
        let lines = Lines::new(kernel, bands, steps);
        Self {
            name,
            channels: [in_channels, channels as u32],
            plane: [bands, steps],
            kernel,
            window,
            first: matches!(input, Shape::Plane { .. }),
            lines,
            footprint: Footprint::new(kernel, lines),
        }
    }

    /// Whether the `entry_` kernels take it.
    fn is_entry(&self) -> bool {
        self.first && conv::entry_takes(self.kernel, self.window)
    }

    /// Quads of channels that it reads and writes.
    fn quads(&self) -> [u32; 2] {
        self.channels.map(|channels| channels.div_ceil(4))
    }

    fn pooled_plane(&self) -> u32 {
        (self.plane[0] / self.window[0]) * (self.plane[1] / self.window[1])
    }

    fn norm(&self) -> MapNorm<'_> {
        MapNorm {
            owner: &self.name,
            channels: self.channels[1],
            elements: f64::from(self.plane[0]) * f64::from(self.plane[1]),
            pooled: self.pooled_plane(),
        }
    }

    fn pooled(&self, b: &mut Builder<'_>) -> TensorId {
        b.scratch(&self.name, "pooled", 4 * b.batch * self.quads()[1] * self.pooled_plane())
    }

    /// What the `entry_` kernels know of a first block.
    fn entry_of(&self, clips: u32, input: Spectrograms) -> conv::Entry {
        let taps = self.footprint.along.stored;
        conv::Entry::new(clips, input, self.channels[1], self.lines, taps, self.window)
    }

    /// Convolution, ReLU and pooling of a first block in one pass.
    fn entry_forward(&self, b: &mut Builder<'_>, input: TensorId) -> Kept {
        let spectrograms = b.spectrograms();
        let params =
            |clips| conv::entry_forward::Params { entry: self.entry_of(clips, spectrograms) };
        let shares = b.plan.shares(params(b.batch));
        let pooled = self.pooled(b);
        let codes = b.batch * self.quads()[1] * self.pooled_plane();
        let code = b.plan.scratch_words(format!("{}.code", self.name), codes as usize);
        let partial = b.scratch(&self.name, "sums", 8 * self.quads()[1] * shares);
        let tensors = conv::entry_forward::Tensors {
            input,
            weight: b.parameter(&self.name, "conv.weight"),
            bias: b.parameter(&self.name, "conv.bias"),
            gamma: b.parameter(&self.name, "bn.weight"),
            pivot: b.buffer(&self.name, "bn.running_mean"),
            pooled,
            code,
            partial,
        };
        for clips in b.clips([input, pooled, code, partial]) {
            let tensors = conv::entry_forward::Tensors {
                input: b.part(input, clips),
                pooled: b.part(pooled, clips),
                code: b.part(code, clips),
                partial: b.part(partial, clips),
                ..tensors.clone()
            };
            b.step(params(clips[1]), tensors);
        }
        Kept { pooled, code, partial, shares }
    }

    /// What a first block left, for the backward pass. In large batches it is computed again, so
    /// that it need not be kept: a quarter of the memory for a twentieth of the time.
    fn again(&self, input: TensorId, kept: Kept) -> Again {
        let (block, known) = (self.clone(), Cell::new(None));
        Rc::new(move |b| {
            let large = b.plan.tensor(kept.pooled).length > b.limits.recompute_above as usize;
            let now = known.get().unwrap_or_else(|| match large {
                true => block.entry_forward(b, input),
                false => kept,
            });
            known.set(Some(now));
            now
        })
    }

    /// A first block, from the planar input.
    fn entry<'a>(&'a self, b: &mut Builder<'a>, input: TensorId) -> (Value, Pullback<'a>) {
        let kept = self.entry_forward(b, input);
        let norm = self.norm().plan(b, kept.partial, kept.shares);
        let again = self.again(input, kept);
        let map = Map { values: kept.pooled, affine: norm.affine, again: Some(Rc::clone(&again)) };
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let (d_output, Kept { pooled, code, .. }) = (d.whole(), again(b));
            let terms = self.norm().plan_backward(b, d_output, pooled, norm);
            let taps = self.footprint.along.stored;
            let gradients = gradients(b, &self.name, ["conv.weight", "conv.bias"]);
            for clips in b.clips([input, d_output, code]) {
                let entry = self.entry_of(clips[1], b.spectrograms());
                let params = conv::entry_backward::Params { entry };
                let shares = b.plan.shares(params);
                let partial =
                    b.scratch(&self.name, "shares", 4 * shares * self.quads()[1] * (taps + 1));
                let tensors = conv::entry_backward::Tensors {
                    input: b.part(input, clips),
                    weight: b.parameter(&self.name, "conv.weight"),
                    bias: b.parameter(&self.name, "conv.bias"),
                    d_output: b.part(d_output, clips),
                    code: b.part(code, clips),
                    moments: norm.moments(),
                    terms,
                    partial,
                };
                b.step(params, tensors);
                b.gradients_of_part(gradients, clips[0] > 0, |b, [d_weight, d_bias]| {
                    b.step(
                        conv::entry_reduce::Params { out_channels: self.channels[1], taps, shares },
                        conv::entry_reduce::Tensors { partial, d_weight, d_bias },
                    );
                });
            }
            Vec::new()
        });
        (Value::Map(map), pullback)
    }

    /// The planar input in quads, for a first block that the `entry_` kernels do not take.
    fn spread(&self, b: &mut Builder<'_>, planes: TensorId) -> Map {
        let plane = self.plane[0] * self.plane[1];
        let values = b.scratch(&self.name, "spread", 4 * b.batch * plane);
        let affine = b.scratch(&self.name, "no affine", 8);
        for clips in b.clips([planes, values]) {
            let (input, output) = (b.part(planes, clips), b.part(values, clips));
            b.step(
                conv::spread::Params { plane, clips: clips[1], spectrograms: b.spectrograms() },
                conv::spread::Tensors { input, output, affine },
            );
        }
        Map::new(values, affine)
    }

    fn launches(&self, clips: u32) -> Vec<conv::forward::Params> {
        conv::forward::Params::launches(clips, self.channels, self.lines, self.footprint)
    }

    /// Of a part of the batch.
    fn wide(&self, clips: u32) -> conv::wide_forward::Params {
        conv::wide_forward::Params::new(clips, self.channels, self.lines, self.footprint)
    }

    /// Whether a quad's weights are more than a uniform binding holds.
    fn is_wide(&self) -> bool {
        !conv::weights_fit(self.channels[0], self.kernel)
    }

    fn shares(&self, b: &Builder<'_>, clips: u32) -> u32 {
        match self.is_wide() {
            true => b.plan.shares(self.wide(clips)),
            false => b.plan.shares(self.launches(clips)[0]),
        }
    }

    /// Convolution and ReLU of a part of the batch.
    fn convolve(&self, b: &mut Builder<'_>, clips: u32, tensors: conv::forward::Tensors<TensorId>) {
        if self.is_wide() {
            let conv::forward::Tensors { input, affine, weight, bias, pivot, output, partial } =
                tensors;
            let tensors =
                conv::wide_forward::Tensors { input, affine, weight, bias, pivot, output, partial };
            b.step(self.wide(clips), tensors);
            return;
        }
        for launch in self.launches(clips) {
            b.step(launch, tensors.clone());
        }
    }

    /// Any block, from quads.
    fn general<'a>(&'a self, b: &mut Builder<'a>, source: Map) -> (Value, Pullback<'a>) {
        let [_, quads] = self.quads();
        let [bands, steps] = self.plane;
        let activation = b.scratch(&self.name, "activation", 4 * b.batch * quads * bands * steps);
        let parts = b.clips([source.values, activation]);
        let shares: u32 = parts.iter().map(|&[_, clips]| self.shares(b, clips)).sum();
        let share = 8 * quads;
        let partial = b.scratch(&self.name, "sums", share * shares);
        let tensors = conv::forward::Tensors {
            input: source.values,
            affine: source.affine,
            weight: b.packed(&self.name, "forward"),
            bias: b.parameter(&self.name, "conv.bias"),
            pivot: b.buffer(&self.name, "bn.running_mean"),
            output: activation,
            partial,
        };
        let mut done = 0;
        for clips in parts {
            let sums = self.shares(b, clips[1]);
            let tensors = conv::forward::Tensors {
                input: b.part(source.values, clips),
                output: b.part(activation, clips),
                partial: b.plan.part(partial, (share * done) as usize, (share * sums) as usize),
                ..tensors.clone()
            };
            done += sums;
            self.convolve(b, clips[1], tensors);
        }
        let norm = self.norm().plan(b, partial, shares);

        let pooled = self.pooled(b);
        let gamma = b.parameter(&self.name, "bn.weight");
        let windows = pool::Windows::new(self.plane, self.window);
        let channels = self.channels[1];
        for clips in b.clips([activation, pooled]) {
            let (input, output) = (b.part(activation, clips), b.part(pooled, clips));
            b.step(
                pool::forward::Params { batch: clips[1], channels, windows },
                pool::forward::Tensors { input, gamma, output },
            );
        }

        let map = Map::new(pooled, norm.affine);
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_output = d.whole();
            let values = source.values_again(b);
            let terms = self.norm().plan_backward(b, d_output, pooled, norm);
            for clips in b.clips([d_output, pooled, activation]) {
                let tensors = batch_norm::backward::Tensors {
                    d_output: b.part(d_output, clips),
                    pooled: b.part(pooled, clips),
                    moments: norm.moments(),
                    terms,
                    activation: b.part(activation, clips),
                };
                b.step(batch_norm::backward::Params { batch: clips[1], quads, windows }, tensors);
            }
            // What was the activation is now the gradient to the convolution's output.
            self.weight_gradient(b, values, source.affine, activation);
            match self.first {
                true => Vec::new(),
                false => vec![self.input_gradient(b, activation).into()],
            }
        });
        (Value::Map(map), pullback)
    }

    fn weight_gradient(
        &self,
        b: &mut Builder<'_>,
        values: TensorId,
        affine: TensorId,
        d_output: TensorId,
    ) {
        let gradients = gradients(b, &self.name, ["conv.weight", "conv.bias"]);
        for clips in b.clips([d_output, values]) {
            let params = conv::weight_gradient::Params::new(
                clips[1],
                self.channels,
                self.lines,
                self.footprint,
            );
            let (shares, lengths) = (b.plan.shares(params), params.lengths());
            let partial = b.scratch(&self.name, "shares", shares * lengths.partial as u32);
            let bias_partial =
                b.scratch(&self.name, "bias shares", shares * lengths.bias_partial as u32);
            let tensors = conv::weight_gradient::Tensors {
                d_output: b.part(d_output, clips),
                input: b.part(values, clips),
                affine,
                partial,
                bias_partial,
            };
            b.step(params, tensors);
            b.gradients_of_part(gradients, clips[0] > 0, |b, [d_weight, d_bias]| {
                b.step(
                    conv::weight_gradient_reduce::Params::new(
                        self.channels,
                        self.footprint,
                        shares,
                    ),
                    conv::weight_gradient_reduce::Tensors {
                        partial,
                        bias_partial,
                        d_weight,
                        d_bias,
                    },
                );
            });
        }
    }

    fn input_gradient(&self, b: &mut Builder<'_>, d_output: TensorId) -> TensorId {
        let [bands, steps] = self.plane;
        let d_input =
            b.scratch(&self.name, "d_input", 4 * b.batch * self.quads()[0] * bands * steps);
        let weight = b.packed(&self.name, "reversed");
        for clips in b.clips([d_output, d_input]) {
            let tensors = conv::input_gradient::Tensors {
                d_output: b.part(d_output, clips),
                weight,
                d_input: b.part(d_input, clips),
            };
            for launch in conv::input_gradient::Params::launches(
                clips[1],
                self.channels,
                self.lines,
                self.footprint,
            ) {
                b.step(launch, tensors.clone());
            }
        }
        d_input
    }
}

impl Layer for ConvBlock {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        let [bands, steps] = [0, 1].map(|axis| (self.plane[axis] / self.window[axis]) as usize);
        Shape::Map { channels: self.channels[1] as usize, bands, steps }
    }

    fn parameters(&self) -> Vec<Parameter> {
        let ([ins, outs], [rows, columns]) =
            (self.channels.map(|n| n as usize), self.kernel.map(|n| n as usize));
        let he = Init::HeNormal { fan_in: ins * rows * columns };
        let own = |what, shape: &[usize], init| Parameter::new(&self.name, what, shape, init);
        vec![
            own("conv.weight", &[outs, ins, rows, columns], he),
            own("conv.bias", &[outs], Init::Zeros),
            own("bn.weight", &[outs], Init::Ones),
            own("bn.bias", &[outs], Init::Zeros),
        ]
    }

    fn buffers(&self) -> Vec<Parameter> {
        let own = |what, init| Parameter::new(&self.name, what, &[self.channels[1] as usize], init);
        vec![own("bn.running_mean", Init::Zeros), own("bn.running_var", Init::Ones)]
    }

    fn largest(&self) -> usize {
        let [bands, steps] = self.plane.map(|n| n as usize);
        4 * self.quads()[1] as usize * bands * steps
    }

    fn packing(&self, backward: bool) -> Vec<Packed> {
        if self.is_entry() {
            return Vec::new();
        }
        let [forward, reversed] = conv::packing(self.channels, self.footprint);
        let packed = |what, places| Packed {
            owner: self.name.clone(),
            what,
            parameter: "conv.weight",
            places,
        };
        let mut all = vec![packed("forward", forward)];
        if backward && !self.first {
            all.push(packed("reversed", reversed));
        }
        all
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        match &inputs[0] {
            Value::Plane(input) if self.is_entry() => self.entry(b, *input),
            Value::Plane(input) => {
                let source = self.spread(b, *input);
                self.general(b, source)
            }
            input => self.general(b, input.map().clone()),
        }
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let input = match self.first {
            true => onnx.planes(&inputs[0]),
            false => inputs[0].clone(),
        };
        let name = &self.name;
        let own = |what: &str| format!("{name}.{what}");
        let [weight, bias] = ["conv.weight", "conv.bias"].map(|what| onnx.tensor(&own(what)));
        let [top, left] = self.kernel.map(|n| i64::from(n / 2));
        // The default, but not every runtime knows it.
        let ones = || Attribute::Ints(vec![1, 1]);
        let settings = vec![
            ("dilations", ones()),
            ("pads", Attribute::Ints(vec![top, left, top, left])),
            ("strides", ones()),
        ];
        let x = onnx.graph.node(&own("conv"), "Conv", &[&input, &weight, &bias], settings);
        let x = onnx.graph.node(&own("relu"), "Relu", &[&x], vec![]);
        let [scale, shift, mean, variance] = ["weight", "bias", "running_mean", "running_var"]
            .map(|what| onnx.tensor(&own(&format!("bn.{what}"))));
        let epsilon = vec![("epsilon", Attribute::Float(batch_norm::EPSILON))];
        let inputs = [&*x, &scale, &shift, &mean, &variance];
        let x = onnx.graph.node(&own("bn"), "BatchNormalization", &inputs, epsilon);
        if self.window == [1, 1] {
            return x;
        }
        let window = || Attribute::Ints(self.window.map(i64::from).to_vec());
        let pool = vec![("kernel_shape", window()), ("strides", window())];
        onnx.graph.node(&own("pool"), "MaxPool", &[&x], pool)
    }

    fn operations(&self) -> Vec<String> {
        let ([rows, columns], [bands, steps]) = (self.kernel, self.window);
        let mut operations = vec![
            format!("convolution {rows}\u{a0}×\u{a0}{columns}"),
            "ReLU".to_owned(),
            "batch norm".to_owned(),
        ];
        if self.window != [1, 1] {
            operations.push(format!("max pool {bands}\u{a0}×\u{a0}{steps}"));
        }
        operations
    }
}
