//! Compiles a preset and a batch size into plans.

use crate::kernels::layers::conv::Spectrograms;
use crate::kernels::layers::{dense, dropout};
use crate::kernels::{ALIGNMENT, Declaration, Element, Facts, Kernel, loss, optim};
use crate::model::branch::Branch;
use crate::model::checkpoint::Normalization;
use crate::model::handcrafted::Embedding;
use crate::model::lstm;
use crate::model::packing::{Packed, Packing};
use crate::model::parameters::{buffer_shapes, parameter_shapes};
use crate::model::preset::{ClassWeights, Loss, Output, Preset};
use crate::model::rnn::Rnn;
use crate::plan::{Home, Layout, Plan, Storage, Tensor, TensorId};

/// A preset's model: where its tensors lie, and the plans that run it.
#[derive(Clone, Debug)]
pub struct Network {
    preset: Preset,
    normalization: Normalization,
    /// Of the parameters, their gradients and both of Adam's moments.
    parameters: Layout,
    /// Of the running statistics.
    buffers: Layout,
}

/// A plan with the tensors that the host writes and reads.
#[derive(Debug)]
pub struct Program {
    /// The steps.
    pub plan: Plan,
    /// Clips that it takes.
    pub batch: usize,
    /// Input, [batch, size]: features before standardisation, as
    /// [`Extractor`](crate::dataset::features::Extractor) makes them.
    pub features: TensorId,
    /// Input, [batch, moods]: 0 or 1.
    pub targets: TensorId,
    /// Input of a training plan: see [`optim::adam::control`].
    pub control: Option<TensorId>,
    /// Input of a training plan with `train.class_weights`, \[moods\].
    pub class_weights: Option<TensorId>,
    /// Output, [batch, moods].
    pub probabilities: TensorId,
    /// Output, \[batch\]: each clip's mean over the moods.
    pub loss: TensorId,
}

impl Network {
    /// Lays out the tensors of a preset that [`Preset::validate`] accepts.
    pub fn new(preset: &Preset, normalization: Normalization) -> Self {
        let layout = |shapes: Vec<(String, Vec<usize>)>| {
            Layout::new(shapes.into_iter().map(|(name, shape)| (name, shape.iter().product())))
        };
        Self {
            preset: preset.clone(),
            normalization,
            parameters: layout(parameter_shapes(preset)),
            buffers: layout(buffer_shapes(preset)),
        }
    }

    /// What the model is made by.
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// How its features are standardised.
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// Where each tensor lies in a storage of numbers.
    pub fn layout(&self, storage: Storage) -> &Layout {
        match storage {
            Storage::Buffers => &self.buffers,
            _ => &self.parameters,
        }
    }

    /// Forward, backward and Adam on a batch.
    pub fn training(&self, batch: usize, facts: &Facts) -> Program {
        Builder::new(self, batch, true, Limits::PORTABLE, facts).build()
    }

    /// Predictions and their loss, with the running statistics and without dropout.
    pub fn inference(&self, batch: usize, facts: &Facts) -> Program {
        Builder::new(self, batch, false, Limits::PORTABLE, facts).build()
    }
}

/// How large the pieces are that large batches and long LSTMs are worked on in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Elements of the largest tensor of a part of the batch, where the clips can be split so far.
    pub part: u32,
    /// Elements of a first block's output beyond which the backward pass computes it again.
    pub recompute_above: u32,
    /// Steps × units of one launch of a recurrence, whose time grows with both.
    pub launch: u32,
}

impl Limits {
    /// The smallest binding that an adapter must allow, 128 MiB; half of it, with which 32 clips
    /// of `paper` take 295 MiB of arenas; and few enough steps, 256 of 128 units, that neither a
    /// display nor a driver's watchdog has to wait long.
    pub const PORTABLE: Self = Self { part: 32 << 20, recompute_above: 16 << 20, launch: 1 << 15 };
}

/// A plan in the making.
pub(super) struct Builder<'a> {
    pub network: &'a Network,
    pub plan: Plan,
    pub batch: u32,
    pub training: bool,
    pub limits: Limits,
    packed: Packed,
}

impl<'a> Builder<'a> {
    fn new(
        network: &'a Network,
        batch: usize,
        training: bool,
        limits: Limits,
        facts: &Facts,
    ) -> Self {
        let (plan, packed) = (Plan::new(facts), Packed::new());
        Self { network, plan, batch: batch as u32, training, limits, packed }
    }

    /// A tensor of a storage by name. `NAME` of an LSTM stands for both directions.
    ///
    /// # Panics
    /// When the model has no such tensor: a planning error.
    fn stored(&mut self, storage: Storage, name: &str) -> TensorId {
        let layout = self.network.layout(storage);
        let (offset, mut length) =
            layout.get(name).unwrap_or_else(|| panic!("the model has no tensor {name}"));
        if let Some((_, reverse)) = layout.get(&format!("{name}_reverse")) {
            length += reverse;
        }
        self.plan.stored(format!("{storage:?}.{name}"), storage, offset, length)
    }

    pub fn parameter(&mut self, name: &str) -> TensorId {
        self.stored(Storage::Parameters, name)
    }

    pub fn gradient(&mut self, name: &str) -> TensorId {
        self.stored(Storage::Gradients, name)
    }

    pub fn buffer(&mut self, name: &str) -> TensorId {
        self.stored(Storage::Buffers, name)
    }

    /// Weights in the order that a layer's kernels read, by the name under which the layer had them
    /// packed.
    ///
    /// # Panics
    /// When no layer did: a planning error.
    pub fn packed(&self, name: &str) -> TensorId {
        *self.packed.get(name).unwrap_or_else(|| panic!("nothing is packed as {name}"))
    }

    /// Appends the packing of all layers' weights.
    fn pack(&mut self) {
        let preset = &self.network.preset;
        let layout = &self.network.parameters;
        let mut packing = Packing::default();
        for branch in &preset.model.branch {
            Branch::pack(&mut packing, layout, preset, branch, self.training);
        }
        if let Some(rnn) = &preset.model.rnn {
            lstm::pack(&mut packing, layout, "rnn", preset.features.mels as u32, &rnn.lstm);
        }
        self.packed = packing.step(&mut self.plan, layout.length());
    }

    /// Appends a step.
    pub fn step<K: Kernel>(&mut self, kernel: K, tensors: <K as Declaration>::Tensors<TensorId>) {
        self.plan.step(kernel, tensors);
    }

    /// The clips of the batch in parts, as [first, count], so that no tensor's part is beyond the
    /// limit and all begin where a binding may. One part, where the sizes allow no other cut.
    pub fn clips<const N: usize>(&self, tensors: [TensorId; N]) -> Vec<[u32; 2]> {
        let batch = self.batch as usize;
        let of_a_clip = tensors.map(|id| self.plan.tensor(id).length / batch);
        let largest = of_a_clip.iter().copied().max().unwrap_or(1);
        // Features may begin within an alignment.
        let room = (self.limits.part as usize).saturating_sub(ALIGNMENT);
        let most = (room / largest.max(1)).max(1);
        let cut = tensors.into_iter().filter(|&id| self.plan.tensor(id).home != Home::Input);
        let cut: Vec<_> = cut.map(|id| self.plan.tensor(id).length / batch).collect();
        let begins = |&count: &usize| {
            cut.iter().all(|&size| (size as u64 * count as u64).is_multiple_of(ALIGNMENT as u64))
        };
        let count = match most {
            most if most >= batch => batch,
            most => (1..=most).rev().find(begins).unwrap_or(batch),
        };
        let firsts = (0..batch).step_by(count);
        firsts.map(|first| [first, count.min(batch - first)].map(|n| n as u32)).collect()
    }

    /// Some clips of a tensor that has as many elements for each.
    pub fn part(&mut self, whole: TensorId, [first, count]: [u32; 2]) -> TensorId {
        if count == self.batch {
            return whole;
        }
        let of_a_clip = self.plan.tensor(whole).length / self.batch as usize;
        self.plan.part(whole, first as usize * of_a_clip, count as usize * of_a_clip)
    }

    /// A part of the features that holds some clips, and where the spectrograms lie in it.
    pub fn spectrograms(
        &mut self,
        features: TensorId,
        [first, count]: [u32; 2],
    ) -> (TensorId, Spectrograms) {
        let stride = self.network.preset.feature_size();
        let begin = first as usize * stride;
        let start = begin % ALIGNMENT;
        let Normalization { mean, std, .. } = *self.network.normalization();
        let spectrograms = Spectrograms {
            start: start as u32,
            stride: stride as u32,
            mean: mean as f32,
            inverse_deviation: std.recip() as f32,
        };
        let length = spectrograms.length(count);
        let part = match self.plan.tensor(features).length {
            whole if whole == length => features,
            _ => self.plan.part(features, begin - start, length),
        };
        (part, spectrograms)
    }

    /// Has `compute` write gradients: for the first part of a batch into their places, for a
    /// further one beside them, to be added.
    pub fn gradients_of_part<const N: usize>(
        &mut self,
        gradients: [TensorId; N],
        further: bool,
        compute: impl FnOnce(&mut Self, [TensorId; N]),
    ) {
        if !further {
            return compute(self, gradients);
        }
        let parts = gradients.map(|gradient| {
            let Tensor { name, length, .. } = self.plan.tensor(gradient);
            let (name, length) = (format!("part of {name}"), *length);
            self.plan.scratch(name, length)
        });
        compute(self, parts);
        for (part, gradient) in parts.into_iter().zip(gradients) {
            let elements = self.plan.tensor(gradient).length as u32;
            self.step(
                optim::accumulate::Params { elements },
                optim::accumulate::Tensors { part, gradient },
            );
        }
    }

    fn build(mut self) -> Program {
        let preset = &self.network.preset;
        let batch = self.batch;
        let moods = preset.moods.len();
        let size = preset.feature_size();
        let features = self.plan.input("features", batch as usize * size, Element::F32);
        let targets = self.plan.input("targets", batch as usize * moods, Element::F32);
        let control =
            self.training.then(|| self.plan.input("control", dropout::CONTROL_WORDS, Element::U32));
        let probabilities = self.plan.output("probabilities", batch as usize * moods);
        let loss = self.plan.output("loss", batch as usize);

        self.pack();
        let width = preset.head_features() as u32;
        let summary = self.plan.scratch("summary", (batch * width) as usize);
        let front = self.front(features, summary, width);

        let dropout = control.filter(|_| preset.model.dropout > 0.0);
        let keep = 1.0 - preset.model.dropout;
        let head_input = match dropout {
            None => summary,
            Some(control) => {
                let dropped = self.plan.scratch("dropped", (batch * width) as usize);
                self.step(
                    dropout::forward::Params::new(batch * width, keep),
                    dropout::forward::Tensors { control, input: summary, output: dropped },
                );
                dropped
            }
        };
        let (inputs, outputs) = (width, moods as u32);
        let logits = self.plan.scratch("logits", batch as usize * moods);
        let weight = self.parameter("dense.weight");
        let bias = self.parameter("dense.bias");
        self.step(
            dense::forward::Params { batch, inputs, outputs },
            dense::forward::Tensors { input: head_input, weight, bias, output: logits },
        );
        let d_logits = self.plan.scratch("d_logits", batch as usize * moods);
        match preset.train.loss {
            Loss::SoftmaxBce => self.step(
                loss::softmax_bce::Params { batch, moods: outputs },
                loss::softmax_bce::Tensors { logits, targets, probabilities, loss, d_logits },
            ),
            Loss::SigmoidBce => self.step(
                loss::sigmoid_bce::Params { batch, moods: outputs },
                loss::sigmoid_bce::Tensors { logits, targets, probabilities, loss, d_logits },
            ),
        }
        let weighted = self.training && preset.train.class_weights != ClassWeights::None;
        let class_weights = weighted.then(|| self.plan.input("class weights", moods, Element::F32));
        if let Some(weights) = class_weights {
            let softmax = u32::from(preset.model.output == Output::Softmax);
            self.step(
                loss::positive_weights::Params { batch, moods: outputs, softmax },
                loss::positive_weights::Tensors { logits, targets, weights, loss, d_logits },
            );
        }

        if let Some(control) = control {
            let total = self.plan.stored("epoch loss", Storage::EpochLoss, 0, 1);
            self.step(
                loss::accumulate::Params { batch },
                loss::accumulate::Tensors { loss, total },
            );
            let (d_weight, d_bias) = (self.gradient("dense.weight"), self.gradient("dense.bias"));
            self.step(
                dense::weight_gradient::Params { batch, inputs, outputs },
                dense::weight_gradient::Tensors {
                    d_output: d_logits,
                    input: head_input,
                    d_weight,
                    d_bias,
                },
            );
            let d_head = self.plan.scratch("d_head", (batch * width) as usize);
            self.step(
                dense::input_gradient::Params { batch, inputs, outputs },
                dense::input_gradient::Tensors { d_output: d_logits, weight, d_input: d_head },
            );
            let d_summary = match dropout {
                None => d_head,
                Some(control) => {
                    let d_summary = self.plan.scratch("d_summary", (batch * width) as usize);
                    self.step(
                        dropout::backward::Params::new(batch * width, keep),
                        dropout::backward::Tensors {
                            control,
                            d_output: d_head,
                            d_input: d_summary,
                        },
                    );
                    d_summary
                }
            };
            front.backward(&mut self, d_summary);
            self.adam(control);
        }
        let (plan, batch) = (self.plan, batch as usize);
        Program { plan, batch, features, targets, control, class_weights, probabilities, loss }
    }

    /// Everything before the head, into the columns of the summary: the branches in order, the RNN,
    /// the hand-crafted embedding.
    fn front(&mut self, features: TensorId, summary: TensorId, width: u32) -> Front {
        let preset = &self.network.preset;
        let model = &preset.model;
        let mut offset = 0;
        let mut branches = Vec::new();
        for branch in &model.branch {
            branches.push(Branch::forward(self, branch, features, summary, [width, offset]));
            offset += preset.branch_features(branch) as u32;
        }
        let rnn = model.rnn.as_ref().map(|rnn| {
            let built = Rnn::forward(self, &rnn.lstm, features, summary, [width, offset]);
            offset += preset.rnn_features() as u32;
            built
        });
        let embedding = model.handcrafted.as_ref().map(|handcrafted| {
            Embedding::forward(self, &handcrafted.hidden, features, summary, [width, offset])
        });
        Front { features, branches, rnn, embedding }
    }

    /// One update of every parameter.
    fn adam(&mut self, control: TensorId) {
        let train = &self.network.preset.train;
        let length = self.network.parameters.length();
        let mut whole = |storage| self.plan.stored(format!("{storage:?}"), storage, 0, length);
        let tensors = optim::adam::Tensors {
            control,
            gradient: whole(Storage::Gradients),
            exp_avg: whole(Storage::ExpAvg),
            exp_avg_sq: whole(Storage::ExpAvgSq),
            parameter: whole(Storage::Parameters),
            status: self.plan.stored("status", Storage::Status, 0, 1),
        };
        let quads = (length / 4) as u32;
        self.step(optim::adam::Params::new(quads, train.betas, train.epsilon), tensors);
    }
}

/// What stands before the head, planned forward.
struct Front {
    /// What the branches read.
    features: TensorId,
    branches: Vec<Branch>,
    rnn: Option<Rnn>,
    embedding: Option<Embedding>,
}

impl Front {
    /// Appends the backward pass from the gradient to the summary.
    fn backward(self, b: &mut Builder<'_>, d_summary: TensorId) {
        if let Some(embedding) = self.embedding {
            embedding.backward(b, d_summary);
        }
        if let Some(rnn) = self.rnn {
            rnn.backward(b, d_summary);
        }
        for branch in self.branches.into_iter().rev() {
            branch.backward(b, self.features, d_summary);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exec::{CpuPrograms, Executor, Input};
    use crate::model::checkpoint::HandcraftedNormalization;
    use crate::model::parameters::initialise;

    fn rnn() -> Preset {
        let mut preset = Preset::named("rnn-handcrafted").unwrap();
        for (key, value) in [
            ("audio.clip_seconds", "0.5"),
            ("features.mels", "3"),
            ("model.rnn.lstm", "[4, 2]"),
            ("model.dropout", "0"),
        ] {
            preset.set(key, value).unwrap();
        }
        preset
    }

    /// One branch that the fused first block takes, and one that it does not; the features of a clip
    /// begin wherever the one before ends.
    fn branches() -> Preset {
        let text = r#"
            [audio]
            clip_seconds = 0.35
            [features]
            mels = 8
            [model]
            dropout = 0.0
            [model.handcrafted]
            hidden = [2]
            [[model.branch]]
            name = "fused"
            kernel = [1, 3]
            channels = [3, 5]
            pool = [2, 2]
            lstm = [2]
            [[model.branch]]
            name = "general"
            kernel = [3, 3]
            channels = [4, 2]
            pool = [2, 2]
            lstm = [2]
        "#;
        Preset::from_toml(text, "test").unwrap()
    }

    /// The gradients of a model, flat, and its plan.
    fn gradients(preset: &Preset, batch: usize, limits: Limits) -> (Vec<f64>, Arc<Plan>) {
        let handcrafted = preset
            .model
            .handcrafted
            .as_ref()
            .map(|_| HandcraftedNormalization { mean: [0.0; 6], std: [1.0; 6] });
        let network = Network::new(preset, Normalization { mean: 0.25, std: 0.5, handcrafted });
        let program = Builder::new(&network, batch, true, limits, &Facts::PORTABLE).build();
        let plan = Arc::new(program.plan);
        let mut programs = CpuPrograms::<f64>::new(vec![Arc::clone(&plan)]);
        let layout = network.layout(Storage::Parameters);
        let mut parameters = vec![0.0; layout.length()];
        for (name, values) in initialise(preset, 1) {
            let (offset, length) = layout.get(&name).unwrap();
            parameters[offset..offset + length].copy_from_slice(&values);
        }
        programs.upload(Storage::Parameters, &parameters).unwrap();
        let wave = |length: usize| (0..length).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let features = wave(plan.tensor(program.features).length);
        let targets = vec![1.0; plan.tensor(program.targets).length];
        let control = optim::adam::control(0, 0, 0.0, preset.train.betas);
        let inputs = [
            (program.features, Input::F32(&features)),
            (program.targets, Input::F32(&targets)),
            (program.control.unwrap(), Input::U32(&control)),
        ];
        programs.run(0, &inputs).unwrap();
        (programs.storage_mut(Storage::Gradients).to_vec(), plan)
    }

    #[test]
    fn parts_and_launches_change_no_gradient() {
        let preset = rnn();
        let (whole, plan) = gradients(&preset, 5, Limits::PORTABLE);
        assert!(whole.iter().any(|&g| g.abs() > 1e-3));
        // Two clips a part, then one; five steps a launch.
        for (part, launch) in [(2 * 22 * 32, 1 << 15), (1, 1 << 15), (32 << 20, 20), (1, 20)] {
            let limits = Limits { part, launch, ..Limits::PORTABLE };
            let (pieces, more) = gradients(&preset, 5, limits);
            assert!(more.steps().len() > plan.steps().len());
            for (a, b) in whole.iter().zip(&pieces) {
                assert!((a - b).abs() < 1e-12, "{a} {b} with {part}, {launch}");
            }
        }
    }

    #[test]
    fn a_batch_in_parts_changes_no_gradient_of_a_branch() {
        let preset = branches();
        const BATCH: usize = 70;
        let (whole, plan) = gradients(&preset, BATCH, Limits::PORTABLE);
        let clips_entered = |plan: &Plan| {
            let entries = plan
                .steps()
                .iter()
                .filter(|step| step.launch.kernel.id().ends_with("entry_forward"));
            // The batch is the first parameter.
            entries
                .map(|step| {
                    u32::from_le_bytes(step.launch.kernel.params()[..4].try_into().unwrap())
                })
                .sum::<u32>()
        };
        let once = clips_entered(&plan);
        assert!(whole.iter().any(|&g| g.abs() > 1e-3));
        // Tensors have 20 to 512 elements a clip, and parts begin at multiples of 64.
        for (part, recompute_above, entered) in
            [(64 * 512, 1 << 20, once), (16 * 512, 64, 2 * once)]
        {
            let limits = Limits { part, recompute_above, ..Limits::PORTABLE };
            let (pieces, more) = gradients(&preset, BATCH, limits);
            assert!(more.steps().len() > plan.steps().len(), "parts of {part}");
            let parts = more.tensors().iter().filter(|t| matches!(t.home, Home::Part(..)));
            assert!(parts.map(|t| t.length).max().unwrap() <= part as usize, "parts of {part}");
            // What the first block leaves is kept, or not.
            assert_eq!(clips_entered(&more), entered, "parts of {part}");
            for (a, b) in whole.iter().zip(&pieces) {
                assert!((a - b).abs() < 1e-12, "{a} {b} in parts of {part}");
            }
        }
    }
}
