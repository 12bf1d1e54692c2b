//! A convolution block of a branch: convolution, ReLU, batch norm and max pooling; forward and
//! backward.
//!
//! Between blocks flows what pooling kept of a block's activation, not yet normalised, with the
//! scale and shift that the next kernel applies as it reads. The first block's activation would be
//! the largest tensor by far: where the `entry_` kernels take the block, it never exists, and the
//! backward pass computes it again.

use crate::kernels::Kernel;
use crate::kernels::layers::{batch_norm, conv, pool};
use crate::model::network::Builder;
use crate::model::packing::Packing;
use crate::model::preset::{self, BlockShape};
use crate::plan::{Layout, TensorId};
use conv::{Footprint, Lines};

/// A convolution block, planned forward.
pub(super) struct Block {
    pub shape: Shape,
    /// What pooling kept of the activation, [batch, quads, pooled plane, 4].
    pub pooled: TensorId,
    pub norm: Norm,
    activation: Activation,
}

/// Names and sizes of a block.
pub(super) struct Shape {
    pub name: String,
    pub channels: [u32; 2],
    /// Bands and steps.
    pub plane: [u32; 2],
    pub window: [u32; 2],
    kernel: [u32; 2],
    lines: Lines,
    footprint: Footprint,
}

/// What a block reads, in quads, and the scale and shift that belong to it.
#[derive(Clone, Copy)]
struct Source {
    values: TensorId,
    affine: TensorId,
    quads: u32,
}

/// What batch norm does to a block's activation.
#[derive(Clone, Copy)]
pub(super) struct Norm {
    /// Scale and shift.
    pub affine: TensorId,
    /// Mean, inverse deviation and scale of the batch; none in inference.
    moments: Option<TensorId>,
}

/// What the backward pass has of a block's activation.
#[derive(Clone, Copy)]
enum Activation {
    /// Of a first block: only which position each window kept. The rest is computed again.
    Places { code: TensorId },
    /// Of others: all of it, and what the block read.
    Kept { activation: TensorId, source: Source },
}

impl Shape {
    pub fn new(branch: &preset::Branch, index: usize, block: &BlockShape) -> Self {
        let kernel = branch.kernel.map(|n| n as u32);
        let plane = [block.bands as u32, block.steps as u32];
        let lines = Lines::new(kernel, plane[0], plane[1]);
        Self {
            name: format!("{}.blocks.{index}", branch.name),
            channels: [block.in_channels as u32, block.out_channels as u32],
            plane,
            // The last block has no pool.
            window: if index + 1 < branch.channels.len() {
                branch.pool.map(|n| n as u32)
            } else {
                [1, 1]
            },
            kernel,
            lines,
            footprint: Footprint::new(kernel, lines),
        }
    }

    /// Whether the `entry_` kernels take it, as a first block.
    fn is_entry(&self) -> bool {
        conv::entry_takes(self.kernel, self.window)
    }

    /// Has its weights packed. Nobody wants the gradient to the features, which is the first block's.
    pub fn pack(&self, packing: &mut Packing, layout: &Layout, first: bool, training: bool) {
        if first && self.is_entry() {
            return;
        }
        let [forward, reversed] = conv::packing(self.channels, self.footprint);
        let parameter = format!("{}.conv.weight", self.name);
        packing.add(layout, self.packed("forward"), &parameter, &forward);
        if training && !first {
            packing.add(layout, self.packed("reversed"), &parameter, &reversed);
        }
    }

    fn quads(&self) -> u32 {
        self.channels[1].div_ceil(4)
    }

    fn pooled_plane(&self) -> u32 {
        (self.plane[0] / self.window[0]) * (self.plane[1] / self.window[1])
    }

    /// Elements of a channel over the batch.
    fn elements(&self, batch: u32) -> f64 {
        f64::from(batch) * f64::from(self.plane[0]) * f64::from(self.plane[1])
    }

    fn scratch(&self, b: &mut Builder<'_>, what: &str, length: u32) -> TensorId {
        b.plan.scratch(format!("{}.{what}", self.name), length as usize)
    }

    fn parameter(&self, b: &mut Builder<'_>, what: &str) -> TensorId {
        b.parameter(&format!("{}.{what}", self.name))
    }

    fn gradient(&self, b: &mut Builder<'_>, what: &str) -> TensorId {
        b.gradient(&format!("{}.{what}", self.name))
    }

    /// The name of the packed weights for the forward pass or, "reversed", the input gradient.
    fn packed(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    fn pooled(&self, b: &mut Builder<'_>) -> TensorId {
        self.scratch(b, "pooled", 4 * b.batch * self.quads() * self.pooled_plane())
    }

    /// Appends what turns the convolution's sums, or the running statistics, into scale and shift.
    fn normalise(&self, b: &mut Builder<'_>, partial: TensorId, shares: u32) -> Norm {
        let channels = self.channels[1];
        let gamma = self.parameter(b, "bn.weight");
        let beta = self.parameter(b, "bn.bias");
        let running_mean = b.buffer(&format!("{}.bn.running_mean", self.name));
        let running_var = b.buffer(&format!("{}.bn.running_var", self.name));
        let affine = self.scratch(b, "affine", 8 * self.quads());
        if !b.training {
            b.step(
                batch_norm::inference::Params::new(channels),
                batch_norm::inference::Tensors { gamma, beta, running_mean, running_var, affine },
            );
            return Norm { affine, moments: None };
        }
        let moments = self.scratch(b, "moments", 12 * self.quads());
        b.step(
            batch_norm::statistics::Params::new(channels, shares, self.elements(b.batch)),
            batch_norm::statistics::Tensors {
                partial,
                gamma,
                beta,
                running_mean,
                running_var,
                moments,
                affine,
            },
        );
        Norm { affine, moments: Some(moments) }
    }
}

/// What the `entry_` kernels leave of a first block's activation.
struct Entry {
    pooled: TensorId,
    code: TensorId,
    partial: TensorId,
    /// Of the partial sums.
    shares: u32,
}

impl Entry {
    fn new(b: &mut Builder<'_>, shape: &Shape, features: TensorId) -> Self {
        let params = |clips, spectrograms| {
            conv::entry_forward::Params::new(
                clips,
                spectrograms,
                shape.channels[1],
                shape.lines,
                shape.footprint.along.stored,
                shape.window,
            )
        };
        let (_, whole) = b.spectrograms(features, [0, b.batch]);
        let shares = b.plan.shares(params(b.batch, whole));
        let pooled = shape.pooled(b);
        let codes = b.batch * shape.quads() * shape.pooled_plane();
        let code = b.plan.scratch_words(format!("{}.code", shape.name), codes as usize);
        let partial = shape.scratch(b, "sums", 8 * shape.quads() * shares);
        let tensors = conv::entry_forward::Tensors {
            input: features,
            weight: shape.parameter(b, "conv.weight"),
            bias: shape.parameter(b, "conv.bias"),
            gamma: shape.parameter(b, "bn.weight"),
            pivot: b.buffer(&format!("{}.bn.running_mean", shape.name)),
            pooled,
            code,
            partial,
        };
        for clips in b.clips([features, pooled, code, partial]) {
            let (input, spectrograms) = b.spectrograms(features, clips);
            let tensors = conv::entry_forward::Tensors {
                input,
                pooled: b.part(pooled, clips),
                code: b.part(code, clips),
                partial: b.part(partial, clips),
                ..tensors.clone()
            };
            b.step(params(clips[1], spectrograms), tensors);
        }
        Self { pooled, code, partial, shares }
    }
}

impl Block {
    /// Appends the forward pass on what the block before left, or on the planar features.
    pub fn forward(
        b: &mut Builder<'_>,
        shape: Shape,
        features: TensorId,
        before: Option<&Self>,
    ) -> Self {
        match before {
            None if shape.is_entry() => Self::entry(b, shape, features),
            None => {
                let source = Self::spread(b, &shape, features);
                Self::general(b, shape, source)
            }
            Some(before) => Self::general(b, shape, before.source()),
        }
    }

    /// The first block of a branch, from planar features.
    fn entry(b: &mut Builder<'_>, shape: Shape, features: TensorId) -> Self {
        let Entry { pooled, code, partial, shares } = Entry::new(b, &shape, features);
        let norm = shape.normalise(b, partial, shares);
        Self { shape, pooled, norm, activation: Activation::Places { code } }
    }

    /// What the next block reads.
    fn source(&self) -> Source {
        Source { values: self.pooled, affine: self.norm.affine, quads: self.shape.quads() }
    }

    /// The planar features, for a first block that the `entry_` kernels do not take.
    fn spread(b: &mut Builder<'_>, shape: &Shape, features: TensorId) -> Source {
        let plane = shape.plane[0] * shape.plane[1];
        let values = shape.scratch(b, "spread", 4 * b.batch * plane);
        let affine = shape.scratch(b, "no affine", 8);
        for clips in b.clips([features, values]) {
            let (input, spectrograms) = b.spectrograms(features, clips);
            let output = b.part(values, clips);
            b.step(
                conv::spread::Params::new(clips[1], spectrograms, plane),
                conv::spread::Tensors { input, output, affine },
            );
        }
        Source { values, affine, quads: 1 }
    }

    /// Any block, from quads.
    fn general(b: &mut Builder<'_>, shape: Shape, source: Source) -> Self {
        let launches = |clips| {
            conv::forward::Params::launches(clips, shape.channels, shape.lines, shape.footprint)
        };
        let elements = 4 * b.batch * shape.quads() * shape.plane[0] * shape.plane[1];
        let activation = shape.scratch(b, "activation", elements);
        let parts = b.clips([source.values, activation]);
        let shares: u32 = parts.iter().map(|&[_, clips]| b.plan.shares(launches(clips)[0])).sum();
        let share = 8 * shape.quads();
        let partial = shape.scratch(b, "sums", share * shares);
        let tensors = conv::forward::Tensors {
            input: source.values,
            affine: source.affine,
            weight: b.packed(&shape.packed("forward")),
            bias: shape.parameter(b, "conv.bias"),
            pivot: b.buffer(&format!("{}.bn.running_mean", shape.name)),
            output: activation,
            partial,
        };
        let mut done = 0;
        for clips in parts {
            let launches = launches(clips[1]);
            let sums = b.plan.shares(launches[0]);
            let tensors = conv::forward::Tensors {
                input: b.part(source.values, clips),
                output: b.part(activation, clips),
                partial: b.plan.part(partial, (share * done) as usize, (share * sums) as usize),
                ..tensors.clone()
            };
            done += sums;
            for launch in launches {
                b.step(launch, tensors.clone());
            }
        }
        let norm = shape.normalise(b, partial, shares);

        let pooled = shape.pooled(b);
        let gamma = shape.parameter(b, "bn.weight");
        let [bands, steps] = shape.plane;
        let [window_bands, window_steps] = shape.window;
        for clips in b.clips([activation, pooled]) {
            let (input, output) = (b.part(activation, clips), b.part(pooled, clips));
            b.step(
                pool::forward::Params {
                    batch: clips[1],
                    channels: shape.channels[1],
                    bands,
                    steps,
                    window_bands,
                    window_steps,
                },
                pool::forward::Tensors { input, gamma, output },
            );
        }
        Self { shape, pooled, norm, activation: Activation::Kept { activation, source } }
    }

    /// Appends the backward pass from the gradient to the block's output, and returns the gradient
    /// to what it read, which nobody wants of the first block.
    pub fn backward(
        &self,
        b: &mut Builder<'_>,
        first: bool,
        features: TensorId,
        d_output: TensorId,
    ) -> Option<TensorId> {
        let Self { shape, pooled, .. } = self;
        let (quads, batch, channels) = (shape.quads(), b.batch, shape.channels[1]);
        let moments =
            self.norm.moments.unwrap_or_else(|| unreachable!("training keeps the moments"));
        let sums =
            |clips| batch_norm::gradient_sums::Params { clips, quads, plane: shape.pooled_plane() };
        let shares = b.plan.shares(sums(batch));
        let partial = shape.scratch(b, "d_sums", 8 * shares * quads);
        for clips in b.clips([d_output, *pooled, partial]) {
            let tensors = batch_norm::gradient_sums::Tensors {
                d_output: b.part(d_output, clips),
                pooled: b.part(*pooled, clips),
                moments,
                partial: b.part(partial, clips),
            };
            b.step(sums(clips[1]), tensors);
        }
        let terms = shape.scratch(b, "terms", 8 * quads);
        let d_gamma = shape.gradient(b, "bn.weight");
        let d_beta = shape.gradient(b, "bn.bias");
        b.step(
            batch_norm::gradient_reduce::Params {
                channels,
                shares,
                elements: shape.elements(batch) as f32,
            },
            batch_norm::gradient_reduce::Tensors { partial, d_gamma, d_beta, terms },
        );

        let [d_weight, d_bias] = ["conv.weight", "conv.bias"].map(|name| shape.gradient(b, name));
        match self.activation {
            Activation::Kept { activation, source } => {
                let [bands, steps] = shape.plane;
                let [window_bands, window_steps] = shape.window;
                for clips in b.clips([d_output, *pooled, activation]) {
                    let tensors = batch_norm::backward::Tensors {
                        d_output: b.part(d_output, clips),
                        pooled: b.part(*pooled, clips),
                        moments,
                        terms,
                        activation: b.part(activation, clips),
                    };
                    b.step(
                        batch_norm::backward::Params {
                            batch: clips[1],
                            quads,
                            bands,
                            steps,
                            window_bands,
                            window_steps,
                        },
                        tensors,
                    );
                }
                // What was the activation is now the gradient to the convolution's output.
                self.weight_gradient(b, source, activation, [d_weight, d_bias]);
                if first {
                    return None;
                }
                let d_input = shape.scratch(b, "d_input", 4 * batch * source.quads * bands * steps);
                let weight = b.packed(&shape.packed("reversed"));
                for clips in b.clips([activation, d_input]) {
                    let tensors = conv::input_gradient::Tensors {
                        d_output: b.part(activation, clips),
                        weight,
                        d_input: b.part(d_input, clips),
                    };
                    for launch in conv::input_gradient::Params::launches(
                        clips[1],
                        shape.channels,
                        shape.lines,
                        shape.footprint,
                    ) {
                        b.step(launch, tensors.clone());
                    }
                }
                Some(d_input)
            }
            Activation::Places { code } => {
                let taps = shape.footprint.along.stored;
                for clips in b.clips([features, d_output, code]) {
                    let (input, spectrograms) = b.spectrograms(features, clips);
                    let params = conv::entry_backward::Params::new(
                        clips[1],
                        spectrograms,
                        channels,
                        shape.lines,
                        taps,
                        shape.window,
                    );
                    let shares = b.plan.shares(params);
                    let partial = shape.scratch(b, "shares", 4 * shares * quads * (taps + 1));
                    let tensors = conv::entry_backward::Tensors {
                        input,
                        weight: shape.parameter(b, "conv.weight"),
                        bias: shape.parameter(b, "conv.bias"),
                        d_output: b.part(d_output, clips),
                        code: b.part(code, clips),
                        moments,
                        terms,
                        partial,
                    };
                    b.step(params, tensors);
                    let gradients = [d_weight, d_bias];
                    b.gradients_of_part(gradients, clips[0] > 0, |b, [d_weight, d_bias]| {
                        b.step(
                            conv::entry_reduce::Params { out_channels: channels, taps, shares },
                            conv::entry_reduce::Tensors { partial, d_weight, d_bias },
                        );
                    });
                }
                None
            }
        }
    }

    fn weight_gradient(
        &self,
        b: &mut Builder<'_>,
        source: Source,
        d_output: TensorId,
        gradients: [TensorId; 2],
    ) {
        let shape = &self.shape;
        for clips in b.clips([d_output, source.values]) {
            let params = conv::weight_gradient::Params::new(
                clips[1],
                shape.channels,
                shape.lines,
                shape.footprint,
            );
            let (shares, lengths) = (b.plan.shares(params), params.lengths());
            let partial = shape.scratch(b, "shares", shares * lengths.partial as u32);
            let bias_partial =
                shape.scratch(b, "bias shares", shares * lengths.bias_partial as u32);
            let tensors = conv::weight_gradient::Tensors {
                d_output: b.part(d_output, clips),
                input: b.part(source.values, clips),
                affine: source.affine,
                partial,
                bias_partial,
            };
            b.step(params, tensors);
            b.gradients_of_part(gradients, clips[0] > 0, |b, [d_weight, d_bias]| {
                b.step(
                    conv::weight_gradient_reduce::Params::new(
                        shape.channels,
                        shape.footprint,
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
}

/// In large batches, computes what the `entry_` kernels left again before the backward pass needs
/// it, so that it need not be kept: a quarter of the memory for a twentieth of the time.
pub(super) fn compute_entry_again(b: &mut Builder<'_>, blocks: &mut [Block], features: TensorId) {
    let [first, second, ..] = blocks else { return };
    let large = b.plan.tensor(first.pooled).length > b.limits.recompute_above as usize;
    if let (Activation::Places { code: kept }, true) = (&mut first.activation, large) {
        let Entry { pooled, code, .. } = Entry::new(b, &first.shape, features);
        (first.pooled, *kept) = (pooled, code);
        if let Activation::Kept { source, .. } = &mut second.activation {
            source.values = pooled;
        }
    }
}
