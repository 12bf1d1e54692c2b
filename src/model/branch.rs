//! A branch of the network: convolution blocks, then LSTMs; forward and backward.
//!
//! Between blocks flows what pooling kept of a block's activation, not yet normalised, with the
//! scale and shift that the next kernel applies as it reads. The first block's activation is the
//! largest tensor by far; it exists for a slice of the batch at a time, and the backward pass
//! computes it again.

use crate::kernels::layers::{batch_norm, conv, lstm, pool, sequence};
use crate::model::network::Builder;
use crate::model::preset::{self, BlockShape};
use crate::plan::TensorId;
use conv::{Lines, Taps};

/// Bytes of the first block's activation that exist at a time, at most (but at least one clip).
const SLICE_BYTES: usize = 48 << 20;

/// A planned forward pass, with what the backward pass needs of it.
pub(super) struct Branch {
    blocks: Vec<Block>,
    map: sequence::forward::Params,
    lstms: Vec<Lstm>,
    /// Width of the summary and the first column of this branch.
    columns: [u32; 2],
}

/// A convolution block.
struct Block {
    name: String,
    channels: [u32; 2],
    plane: [u32; 2],
    window: [u32; 2],
    lines: Lines,
    taps: Taps,
    /// What pooling kept of the activation, [batch, quads, pooled plane, 4].
    pooled: TensorId,
    /// Mean and inverse deviation of the batch; none in inference.
    moments: Option<TensorId>,
    /// Scale and shift.
    affine: TensorId,
    activation: Activation,
}

/// The output of a block's ReLU.
enum Activation {
    /// Kept since the forward pass, with the weights packed for the input gradient.
    Whole { activation: TensorId, reversed: TensorId },
    /// Of the first block: computed again, slice by slice, into the same scratch tensors.
    Slices { steps: Vec<Slice> },
}

/// One slice of the first block.
struct Slice {
    params: conv::entry_forward::Params,
    activation: TensorId,
    partial: TensorId,
}

struct Lstm {
    name: String,
    steps: u32,
    features: u32,
    units: u32,
    input: TensorId,
    gates: TensorId,
    cells: TensorId,
    hidden: TensorId,
}

impl Block {
    fn new(
        branch: &preset::Branch,
        index: usize,
        shape: &BlockShape,
        affine: TensorId,
        pooled: TensorId,
    ) -> Self {
        let kernel = branch.kernel.map(|n| n as u32);
        let plane = [shape.bands as u32, shape.steps as u32];
        let lines = Lines::new(kernel, plane[0], plane[1]);
        Self {
            name: format!("{}.blocks.{index}", branch.name),
            channels: [shape.in_channels as u32, shape.out_channels as u32],
            plane,
            window: [
                (shape.bands / shape.pooled_bands) as u32,
                (shape.steps / shape.pooled_steps) as u32,
            ],
            lines,
            taps: Taps::new(kernel[0].max(kernel[1]), lines.length),
            pooled,
            moments: None,
            affine,
            activation: Activation::Slices { steps: Vec::new() },
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

    /// Appends the pooling of clips `first..first + clips`.
    fn pool(&self, b: &mut Builder<'_>, activation: TensorId, first_clip: u32, clips: u32) {
        let gamma = b.parameter(&format!("{}.bn.weight", self.name));
        b.step(
            pool::forward::Params {
                batch: b.batch,
                first_clip,
                clips,
                channels: self.channels[1],
                bands: self.plane[0],
                steps: self.plane[1],
                window_bands: self.window[0],
                window_steps: self.window[1],
            },
            pool::forward::Tensors { input: activation, gamma, output: self.pooled },
        );
    }

    /// Appends what turns the convolution's sums, or the running statistics, into scale and shift.
    fn normalise(&mut self, b: &mut Builder<'_>, partial: TensorId, rows: u32) {
        let name = &self.name;
        let channels = self.channels[1];
        let gamma = b.parameter(&format!("{name}.bn.weight"));
        let beta = b.parameter(&format!("{name}.bn.bias"));
        let running_mean = b.buffer(&format!("{name}.bn.running_mean"));
        let running_var = b.buffer(&format!("{name}.bn.running_var"));
        let affine = self.affine;
        if b.training {
            let length = 8 * self.quads() as usize;
            let moments = b.plan.scratch(format!("{name}.moments"), length);
            self.moments = Some(moments);
            b.step(
                batch_norm::statistics::Params::new(channels, rows, self.elements(b.batch)),
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
        } else {
            b.step(
                batch_norm::inference::Params::new(channels),
                batch_norm::inference::Tensors { gamma, beta, running_mean, running_var, affine },
            );
        }
    }

    /// The first block of a branch, from planar features.
    fn entry(&mut self, b: &mut Builder<'_>, features: TensorId) {
        let name = self.name.clone();
        let clip = 16 * (self.quads() * self.plane[0] * self.plane[1]) as usize;
        let clips = ((SLICE_BYTES / clip).max(1) as u32).min(b.batch);
        let activation = b.plan.scratch(format!("{name}.activation"), clips as usize * clip / 4);
        // The last slice may be smaller; a tensor has one size.
        let rest = b.batch % clips;
        let last = (rest > 0).then(|| {
            b.plan.scratch(format!("{name}.activation of the last clips"), rest as usize * clip / 4)
        });
        let slices: Vec<_> = (0..b.batch)
            .step_by(clips as usize)
            .map(|first| {
                let slice = first..(first + clips).min(b.batch);
                let activation =
                    if slice.len() == clips as usize { Some(activation) } else { last };
                let params = conv::entry_forward::Params::new(
                    b.batch,
                    slice,
                    self.channels[1],
                    self.lines,
                    self.taps.stored,
                );
                (params, activation.unwrap_or_else(|| unreachable!("a rest has its own tensor")))
            })
            .collect();
        let rows = slices[0].0.rows();
        let length = 8 * (self.quads() * rows) as usize;
        let partial = b.plan.scratch(format!("{name}.sums"), length);
        // The backward pass computes the activation again and has no use for the sums.
        let steps: Vec<_> = slices
            .into_iter()
            .map(|(params, activation)| Slice { params, activation, partial })
            .collect();
        for slice in &steps {
            self.entry_step(b, slice, features);
            self.pool(b, slice.activation, slice.params.first_clip, slice.params.clips);
        }
        self.normalise(b, partial, rows);
        self.activation = Activation::Slices { steps };
    }

    fn entry_step(&self, b: &mut Builder<'_>, slice: &Slice, features: TensorId) {
        let weight = b.parameter(&format!("{}.conv.weight", self.name));
        let bias = b.parameter(&format!("{}.conv.bias", self.name));
        let pivot = b.buffer(&format!("{}.bn.running_mean", self.name));
        b.step(
            slice.params,
            conv::entry_forward::Tensors {
                input: features,
                weight,
                bias,
                pivot,
                output: slice.activation,
                partial: slice.partial,
            },
        );
    }

    /// A later block, from what the block before left.
    fn follow(&mut self, b: &mut Builder<'_>, before: &Self) {
        let name = self.name.clone();
        let pack = conv::pack::Params::new(self.channels[0], self.channels[1], self.taps);
        let matrices = before.quads() * self.quads() * 3 * self.taps.groups();
        let packed = b.plan.scratch(format!("{name}.packed"), 16 * matrices as usize);
        let reversed = b.plan.scratch(format!("{name}.reversed"), 16 * matrices as usize);
        let weight = b.parameter(&format!("{name}.conv.weight"));
        b.step(pack, conv::pack::Tensors { weight, forward: packed, backward: reversed });

        let params = conv::forward::Params::new(b.batch, self.channels, self.lines, self.taps);
        let plane = self.plane[0] * self.plane[1];
        let length = 4 * (b.batch * self.quads() * plane) as usize;
        let activation = b.plan.scratch(format!("{name}.activation"), length);
        let partial =
            b.plan.scratch(format!("{name}.sums"), 8 * (self.quads() * params.rows()) as usize);
        let bias = b.parameter(&format!("{name}.conv.bias"));
        let pivot = b.buffer(&format!("{name}.bn.running_mean"));
        b.step(
            params,
            conv::forward::Tensors {
                input: before.pooled,
                affine: before.affine,
                weight: packed,
                bias,
                pivot,
                output: activation,
                partial,
            },
        );
        self.normalise(b, partial, params.rows());
        self.pool(b, activation, 0, b.batch);
        self.activation = Activation::Whole { activation, reversed };
    }

    /// Appends the backward pass from the gradient to the block's output, and returns the gradient
    /// to the output of the block before, if there is one.
    fn backward(
        &self,
        b: &mut Builder<'_>,
        before: Option<&Self>,
        features: TensorId,
        d_output: TensorId,
    ) -> Option<TensorId> {
        let name = &self.name;
        let quads = self.quads();
        let batch = b.batch;
        let moments = self.moments.unwrap_or_else(|| unreachable!("training keeps the moments"));
        let partial = b.plan.scratch(format!("{name}.d_sums"), 8 * (batch * quads) as usize);
        b.step(
            batch_norm::gradient_sums::Params { clips: batch, quads, plane: self.pooled_plane() },
            batch_norm::gradient_sums::Tensors { d_output, pooled: self.pooled, moments, partial },
        );
        let terms = b.plan.scratch(format!("{name}.terms"), 8 * quads as usize);
        let d_gamma = b.gradient(&format!("{name}.bn.weight"));
        let d_beta = b.gradient(&format!("{name}.bn.bias"));
        b.step(
            batch_norm::gradient_reduce::Params {
                channels: self.channels[1],
                clips: batch,
                elements: self.elements(batch) as f32,
            },
            batch_norm::gradient_reduce::Tensors { partial, d_gamma, d_beta, terms },
        );
        let through = |b: &mut Builder<'_>, activation, first_clip, clips| {
            b.step(
                batch_norm::backward::Params {
                    batch,
                    first_clip,
                    clips,
                    quads,
                    bands: self.plane[0],
                    steps: self.plane[1],
                    window_bands: self.window[0],
                    window_steps: self.window[1],
                },
                batch_norm::backward::Tensors {
                    d_output,
                    pooled: self.pooled,
                    moments,
                    affine: self.affine,
                    terms,
                    activation,
                },
            );
        };
        let d_weight = b.gradient(&format!("{name}.conv.weight"));
        let d_bias = b.gradient(&format!("{name}.conv.bias"));
        match (&self.activation, before) {
            (&Activation::Whole { activation, reversed }, Some(before)) => {
                through(b, activation, 0, batch);
                self.weight_gradient(b, before, activation, [d_weight, d_bias]);
                let length = 4 * (batch * before.quads() * self.plane[0] * self.plane[1]) as usize;
                let d_input = b.plan.scratch(format!("{name}.d_input"), length);
                b.step(
                    conv::input_gradient::Params::new(batch, self.channels, self.lines, self.taps),
                    conv::input_gradient::Tensors {
                        d_output: activation,
                        weight: reversed,
                        d_input,
                    },
                );
                Some(d_input)
            }
            (Activation::Slices { steps }, _) => {
                let taps = self.taps.stored;
                let channels = self.channels[1];
                let walks = conv::entry_weight_gradient::Params::slices(
                    batch,
                    steps[0].params.clips,
                    channels,
                    self.lines,
                    taps,
                );
                let splits = walks[0].splits;
                let length =
                    4 * splits as usize * quads as usize * conv::entry_weight_gradient::COLUMNS;
                let shares = b.plan.scratch(format!("{name}.shares"), length);
                let sums = b
                    .plan
                    .scratch(format!("{name}.sums again"), b.plan.tensor(steps[0].partial).length);
                for (slice, walk) in steps.iter().zip(walks) {
                    let again =
                        Slice { params: slice.params, activation: slice.activation, partial: sums };
                    self.entry_step(b, &again, features);
                    through(b, slice.activation, slice.params.first_clip, slice.params.clips);
                    b.step(
                        walk,
                        conv::entry_weight_gradient::Tensors {
                            d_output: slice.activation,
                            input: features,
                            partial: shares,
                        },
                    );
                }
                b.step(
                    conv::entry_weight_gradient_reduce::Params {
                        out_channels: channels,
                        taps,
                        splits,
                    },
                    conv::entry_weight_gradient_reduce::Tensors {
                        partial: shares,
                        d_weight,
                        d_bias,
                    },
                );
                None
            }
            (Activation::Whole { .. }, None) => unreachable!("a later block has one before it"),
        }
    }

    fn weight_gradient(
        &self,
        b: &mut Builder<'_>,
        before: &Self,
        d_output: TensorId,
        [d_weight, d_bias]: [TensorId; 2],
    ) {
        let name = &self.name;
        let params =
            conv::weight_gradient::Params::new(b.batch, self.channels, self.lines, self.taps);
        let splits = params.splits();
        let matrices = splits * before.quads() * self.quads() * 3 * self.taps.groups();
        let partial = b.plan.scratch(format!("{name}.shares"), 16 * matrices as usize);
        let bias_partial =
            b.plan.scratch(format!("{name}.bias shares"), 4 * (splits * self.quads()) as usize);
        b.step(
            params,
            conv::weight_gradient::Tensors {
                d_output,
                input: before.pooled,
                affine: before.affine,
                partial,
                bias_partial,
            },
        );
        let [ins, outs] = self.channels;
        b.step(
            conv::weight_gradient_reduce::Params::new(ins, outs, self.taps, splits),
            conv::weight_gradient_reduce::Tensors { partial, bias_partial, d_weight, d_bias },
        );
    }
}

impl Lstm {
    fn forward(
        b: &mut Builder<'_>,
        name: String,
        input: TensorId,
        [steps, features, units]: [u32; 3],
    ) -> Self {
        let batch = b.batch;
        let rows = batch * steps;
        let walk = (2 * rows * units) as usize;
        let packed_ih =
            b.plan.scratch(format!("{name}.packed_ih"), (8 * units * features) as usize);
        let packed_hh = b.plan.scratch(format!("{name}.packed_hh"), (8 * units * units) as usize);
        let weight_ih = b.parameter(&format!("{name}.weight_ih_l0"));
        let weight_hh = b.parameter(&format!("{name}.weight_hh_l0"));
        let bias = b.parameter(&format!("{name}.bias_ih_l0"));
        for (inputs, weight, packed) in
            [(features, weight_ih, packed_ih), (units, weight_hh, packed_hh)]
        {
            b.step(lstm::pack::Params { units, inputs }, lstm::pack::Tensors { weight, packed });
        }
        let gates = b.plan.scratch(format!("{name}.gates"), 4 * walk);
        b.step(
            lstm::input_product::Params { rows, features, units },
            lstm::input_product::Tensors { x: input, packed_ih, bias, gates },
        );
        let cells = b.plan.scratch(format!("{name}.cells"), walk);
        let hidden = b.plan.scratch(format!("{name}.hidden"), walk);
        b.step(
            lstm::recurrence_forward::Params { batch, steps, units, begin: 0, end: steps },
            lstm::recurrence_forward::Tensors { packed_hh, gates, cells, hidden },
        );
        Self { name, steps, features, units, input, gates, cells, hidden }
    }

    /// Appends the backward pass and returns the gradient to the input.
    fn backward(&self, b: &mut Builder<'_>, d_hidden: TensorId) -> TensorId {
        let Self { name, steps, features, units, input, gates, cells, hidden } = self;
        let (steps, features, units, batch) = (*steps, *features, *units, b.batch);
        let rows = batch * steps;
        let weight_hh = b.parameter(&format!("{name}.weight_hh_l0"));
        let weight_ih = b.parameter(&format!("{name}.weight_ih_l0"));
        let d_gates = b.plan.scratch(format!("{name}.d_gates"), (8 * rows * units) as usize);
        let carry = b.plan.scratch(format!("{name}.carry"), (2 * batch * units) as usize);
        b.step(
            lstm::recurrence_backward::Params { batch, steps, units, begin: 0, end: steps },
            lstm::recurrence_backward::Tensors {
                weight_hh,
                gates: *gates,
                cells: *cells,
                d_hidden,
                carry,
                d_gates,
            },
        );
        let d_weight_ih = b.gradient(&format!("{name}.weight_ih_l0"));
        b.step(
            lstm::weight_gradient::Params { rows, features, units },
            lstm::weight_gradient::Tensors { d_gates, x: *input, d_weight_ih },
        );
        let d_bias = b.gradient(&format!("{name}.bias_ih_l0"));
        b.step(
            lstm::bias_gradient::Params { rows, units },
            lstm::bias_gradient::Tensors { d_gates, d_bias },
        );
        let d_weight_hh = b.gradient(&format!("{name}.weight_hh_l0"));
        b.step(
            lstm::recurrent_gradient::Params { batch, steps, units },
            lstm::recurrent_gradient::Tensors { d_gates, hidden: *hidden, d_weight_hh },
        );
        let d_x = b.plan.scratch(format!("{name}.d_input"), (rows * features) as usize);
        b.step(
            lstm::input_gradient::Params { rows, features, units },
            lstm::input_gradient::Tensors { d_gates, weight_ih, d_x },
        );
        d_x
    }
}

impl Branch {
    /// Appends the forward pass from standardised features into columns of the summary;
    /// `columns` are the summary's width and the branch's first column.
    pub fn forward(
        b: &mut Builder<'_>,
        branch: &preset::Branch,
        features: TensorId,
        summary: TensorId,
        columns: [u32; 2],
    ) -> Self {
        let batch = b.batch;
        let mut blocks: Vec<Block> = Vec::new();
        for (index, shape) in b.network.preset().block_shapes(branch).iter().enumerate() {
            let name = format!("{}.blocks.{index}", branch.name);
            let quads = shape.out_channels.div_ceil(4);
            let plane = shape.pooled_bands * shape.pooled_steps;
            let pooled =
                b.plan.scratch(format!("{name}.pooled"), 4 * batch as usize * quads * plane);
            let affine = b.plan.scratch(format!("{name}.affine"), 8 * quads);
            let mut block = Block::new(branch, index, shape, affine, pooled);
            match blocks.last() {
                None => block.entry(b, features),
                Some(before) => block.follow(b, before),
            }
            blocks.push(block);
        }

        let last = &blocks[blocks.len() - 1];
        let [bands, steps] = [last.plane[0] / last.window[0], last.plane[1] / last.window[1]];
        let map = sequence::forward::Params { batch, channels: last.channels[1], bands, steps };
        let mut width = last.channels[1] * bands;
        let mut x =
            b.plan.scratch(format!("{}.sequence", branch.name), (batch * steps * width) as usize);
        b.step(
            map,
            sequence::forward::Tensors { input: last.pooled, affine: last.affine, output: x },
        );

        let mut lstms = Vec::new();
        for (index, &units) in branch.lstm.iter().enumerate() {
            let name = format!("{}.lstm{index}", branch.name);
            let layer = Lstm::forward(b, name, x, [steps, width, units as u32]);
            x = layer.hidden;
            width = 2 * units as u32;
            lstms.push(layer);
        }
        let [columns_width, offset] = columns;
        b.step(
            lstm::last_state::Params {
                batch,
                steps,
                units: width / 2,
                width: columns_width,
                offset,
            },
            lstm::last_state::Tensors { hidden: x, features: summary },
        );
        Self { blocks, map, lstms, columns }
    }

    /// Appends the backward pass from the gradient to the summary.
    pub fn backward(self, b: &mut Builder<'_>, features: TensorId, d_summary: TensorId) {
        let batch = b.batch;
        let last = &self.lstms[self.lstms.len() - 1];
        let [width, offset] = self.columns;
        let (steps, units) = (last.steps, last.units);
        let length = (2 * batch * steps * units) as usize;
        let mut d = b.plan.scratch(format!("{}.d_hidden", last.name), length);
        b.step(
            lstm::last_state_gradient::Params { batch, steps, units, width, offset },
            lstm::last_state_gradient::Tensors { d_features: d_summary, d_hidden: d },
        );
        for layer in self.lstms.iter().rev() {
            d = layer.backward(b, d);
        }

        let sequence::forward::Params { channels, bands, steps, .. } = self.map;
        let length = 4 * (batch * channels.div_ceil(4) * bands * steps) as usize;
        let d_map = b.plan.scratch(format!("{}.d_map", self.blocks[0].name), length);
        b.step(
            sequence::backward::Params { batch, channels, bands, steps },
            sequence::backward::Tensors { d_output: d, d_input: d_map },
        );
        d = d_map;
        for (index, block) in self.blocks.iter().enumerate().rev() {
            let before = index.checked_sub(1).map(|before| &self.blocks[before]);
            if let Some(below) = block.backward(b, before, features, d) {
                d = below;
            }
        }
    }
}
