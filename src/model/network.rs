//! A preset's model with its normalisation, and the plans that it compiles into.

use std::ops::Range;
use std::sync::Arc;

use super::checkpoint::Normalization;
use super::graph::Graph;
use super::layers::Parameter;
use super::planning::{self, Builder, Limits, Purpose};
use super::preset::Preset;
use crate::kernels::Facts;
use crate::plan::{Layout, Plan, Storage, TensorId};

/// A preset's model: its layers, where its tensors lie, and the plans that run it.
#[derive(Clone, Debug)]
pub struct Network {
    preset: Preset,
    normalization: Normalization,
    graph: Arc<Graph>,
    /// Whether plans that judge and predict read the moving averages of the model.
    averaged: bool,
    /// Places of the parameters, their gradients, averages and both of Adam's moments.
    parameters: Layout,
    /// Places of the running statistics.
    buffers: Layout,
}

/// What may have moving averages, and where they lie.
const AVERAGES: [(Storage, Storage); 2] = [
    (Storage::Parameters, Storage::AverageParameters),
    (Storage::Buffers, Storage::AverageBuffers),
];

/// A plan with the tensors that the host writes and reads.
#[derive(Debug)]
pub struct Program {
    /// The steps.
    pub plan: Plan,
    /// What the host writes and reads.
    pub handles: Handles,
}

/// The tensors of a plan that the host writes and reads.
#[derive(Clone, Copy, Debug)]
pub struct Handles {
    /// Clips that the plan takes.
    pub batch: usize,
    /// Input: [batch, mels, frames] before standardisation, or what frozen layers made of them.
    pub input: TensorId,
    /// Input of a model that reads the hand-crafted features, [batch, 6]: before standardisation.
    pub handcrafted: Option<TensorId>,
    /// Input of a training plan: see [`adam::control`](crate::kernels::optim::adam::control).
    pub control: Option<TensorId>,
    /// Input of a training plan that changes clips, [batch, CHANGE_WORDS].
    pub changes: Option<TensorId>,
    /// Input of a plan that judges, [batch, moods]: from 0 to 1.
    pub targets: Option<TensorId>,
    /// Input of a training plan with `train.class_weights`, \[moods\].
    pub class_weights: Option<TensorId>,
    /// Output: probabilities [batch, moods], or an embedding [batch, features].
    pub output: TensorId,
    /// Output of a plan that predicts: what the last dense layer reads, [batch, features].
    pub embedding: Option<TensorId>,
    /// Output of a plan that judges, \[batch\]: each clip's mean over the moods.
    pub loss: Option<TensorId>,
}

impl Network {
    /// Lays out the tensors of a preset's model.
    ///
    /// # Panics
    /// When [`Preset::validate`] refuses the preset.
    pub fn new(preset: &Preset, normalization: Normalization) -> Self {
        let graph = Graph::of(preset).unwrap_or_else(|error| panic!("{error}"));
        Self::of(graph, preset, normalization)
    }

    /// The layers of a preset's model that `train.trainable` has trained: they read what
    /// [`Self::frozen`] makes of a clip, where that is not all. With `train.average_epochs`, plans that
    /// judge and predict read the averages.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn trained(preset: &Preset, normalization: Normalization) -> Self {
        let graph = Graph::of(preset).unwrap_or_else(|error| panic!("{error}"));
        let graph = match graph.cut(preset.train.trainable) {
            Some(cut) => graph.after(cut),
            None => graph,
        };
        let averaged = preset.train.average_epochs.is_some();
        Self { averaged, ..Self::of(graph, preset, normalization) }
    }

    /// The layers that training leaves as they are, where there are any.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn frozen(preset: &Preset, normalization: Normalization) -> Option<Self> {
        let graph = Graph::of(preset).unwrap_or_else(|error| panic!("{error}"));
        let cut = graph.cut(preset.train.trainable)?;
        Some(Self::of(graph.before(cut), preset, normalization))
    }

    pub(super) fn of(graph: Graph, preset: &Preset, normalization: Normalization) -> Self {
        let layout = |tensors: Vec<Parameter>| {
            Layout::new(tensors.into_iter().map(|tensor| {
                let elements = tensor.elements();
                (tensor.name, elements)
            }))
        };
        Self {
            preset: preset.clone(),
            normalization,
            averaged: false,
            parameters: layout(graph.parameters()),
            buffers: layout(graph.buffers()),
            graph: Arc::new(graph),
        }
    }

    /// The preset that the model is made by.
    pub fn preset(&self) -> &Preset {
        &self.preset
    }

    /// How its features are standardised.
    pub fn normalization(&self) -> &Normalization {
        &self.normalization
    }

    /// Numbers that it makes of a clip.
    pub fn output_size(&self) -> usize {
        self.graph.output_size()
    }

    /// Its layers.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where each tensor lies in a storage of numbers.
    pub fn layout(&self, storage: Storage) -> &Layout {
        match storage {
            Storage::Buffers | Storage::AverageBuffers => &self.buffers,
            _ => &self.parameters,
        }
    }

    /// What has moving averages, and where they lie.
    pub fn averages(&self) -> &'static [(Storage, Storage)] {
        match self.averaged {
            true => &AVERAGES,
            false => &[],
        }
    }

    /// Where plans find the parameters and the running statistics.
    pub fn model_of(&self, purpose: Purpose) -> [Storage; 2] {
        match self.averaged && !purpose.trains() {
            true => [Storage::AverageParameters, Storage::AverageBuffers],
            false => [Storage::Parameters, Storage::Buffers],
        }
    }

    /// A plan for a batch of so many clips, on an adapter of which this is known.
    pub fn program(&self, batch: usize, purpose: Purpose, facts: &Facts) -> Program {
        self.program_within(0..batch, purpose, Limits::PORTABLE, facts)
    }

    /// As [`Self::program`], for some clips of a batch, by their places in it.
    pub fn program_of_share(
        &self,
        clips: Range<usize>,
        purpose: Purpose,
        facts: &Facts,
    ) -> Program {
        self.program_within(clips, purpose, Limits::PORTABLE, facts)
    }

    /// A plan of the update alone, over gradients that are there, and its input: see
    /// [`adam::control`](crate::kernels::optim::adam::control).
    pub fn optimizer(&self, facts: &Facts) -> (Plan, TensorId) {
        let mut plan = Plan::new(facts);
        let control = planning::control(&mut plan);
        planning::update(&mut plan, self, control);
        (plan, control)
    }

    fn program_within(
        &self,
        clips: Range<usize>,
        purpose: Purpose,
        limits: Limits,
        facts: &Facts,
    ) -> Program {
        let batch = clips.len();
        let mut b = Builder::new(self, clips, purpose, limits, facts);
        let values = self.graph.plan(&mut b);
        let output = values[values.len() - 1].whole_vector();
        let embedding = match purpose {
            Purpose::Inference => Some(values[self.graph.embedding()].whole_vector()),
            Purpose::Embedding => Some(output),
            Purpose::Training | Purpose::Gradients | Purpose::Evaluation => None,
        };
        if let Some(embedding) = embedding {
            b.plan.keep(embedding);
        }
        if let Some(control) = b.control().filter(|_| purpose == Purpose::Training) {
            planning::update(&mut b.plan, self, control);
        }
        let handles = Handles {
            batch,
            input: b.input,
            handcrafted: b.handcrafted,
            control: b.control(),
            changes: b.changes,
            targets: b.judged.map(|judged| judged.targets),
            class_weights: b.judged.and_then(|judged| judged.class_weights),
            output,
            embedding,
            loss: b.judged.map(|judged| judged.loss),
        };
        Program { plan: b.plan, handles }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::exec::{CpuPrograms, Executor, Input};
    use crate::kernels::{features::HANDCRAFTED, optim};
    use crate::model::checkpoint::HandcraftedNormalization;
    use crate::model::layers::{Concatenation, Dense, Handcrafted, OutputLayer, Relu};
    use crate::model::parameters::initialise;
    use crate::plan::Home;

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

    /// One branch that the fused first block takes, and one that it does not.
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

    fn normalization(preset: &Preset) -> Normalization {
        let handcrafted = HandcraftedNormalization { mean: [0.0; 6], std: [1.0; 6] };
        let handcrafted = preset.model.handcrafted.as_ref().map(|_| handcrafted);
        Normalization { mean: 0.25, std: 0.5, handcrafted }
    }

    /// The gradients of a model as it starts, flat, and its plan.
    fn gradients(preset: &Preset, batch: usize, limits: Limits) -> (Vec<f64>, Arc<Plan>) {
        let network = Network::new(preset, normalization(preset));
        let layout = network.layout(Storage::Parameters);
        let parameters = layout.flatten(&initialise(preset, 1)).unwrap();
        gradients_at(&network, &parameters, batch, limits)
    }

    fn gradients_at(
        network: &Network,
        parameters: &[f32],
        batch: usize,
        limits: Limits,
    ) -> (Vec<f64>, Arc<Plan>) {
        let preset = &network.preset;
        let Program { plan, handles } =
            network.program_within(0..batch, Purpose::Training, limits, &Facts::PORTABLE);
        let plan = Arc::new(plan);
        let mut programs = CpuPrograms::<f64>::new(vec![Arc::clone(&plan)]);
        programs.upload(Storage::Parameters, parameters).unwrap();
        let wave = |length: usize| (0..length).map(|i| (i as f32 * 0.7).sin()).collect::<Vec<_>>();
        let log_mel = wave(plan.tensor(handles.input).length);
        let handcrafted = wave(batch * HANDCRAFTED);
        let targets = vec![1.0; batch * preset.moods.len()];
        let control = optim::adam::control(0, 0, 0.0, preset.train.betas, 1.0);
        let mut inputs = vec![
            (handles.input, Input::F32(&log_mel)),
            (handles.targets.unwrap(), Input::F32(&targets)),
            (handles.control.unwrap(), Input::U32(&control)),
        ];
        inputs.extend(handles.handcrafted.map(|id| (id, Input::F32(&handcrafted))));
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
    fn a_batch_in_parts_changes_no_gradient_of_a_front() {
        let text = r#"
            moods = ["dark", "happy"]
            [audio]
            clip_seconds = 0.61
            [features]
            mels = 12
            [[model.front]]
            kernel = [9, 3]
            channels = 5
            [[model.front]]
            kernel = [1, 6]
            channels = 3
        "#;
        let preset = Preset::from_toml(text, "a front").unwrap();
        let (whole, plan) = gradients(&preset, 5, Limits::PORTABLE);
        assert!(whole.iter().any(|&g| g.abs() > 1e-3));
        // Of the first bank, two clips a part.
        let part = 2 * 8 * 4 * preset.frames() as u32;
        let (parts, more) = gradients(&preset, 5, Limits { part, ..Limits::PORTABLE });
        assert!(more.steps().len() > plan.steps().len());
        for (a, b) in whole.iter().zip(&parts) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
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

    /// A value with two readers, which a concatenation joins again: its gradient is the sum of
    /// theirs.
    #[test]
    fn gradients_of_all_readers_are_added_up() {
        let preset = rnn();
        let network = |readers: usize| {
            let mut graph = Graph::default();
            let six = graph.add("", Handcrafted, &[]);
            let below = Dense::new("below", "sums".to_owned(), graph.shape(six), 3);
            let below = graph.add("", below, &[six]);
            let relu = |name: &str, graph: &Graph| Relu::new(name, graph.shape(below));
            let read: Vec<_> = (0..readers)
                .map(|at| graph.add("", relu(&format!("reader{at}"), &graph), &[below]))
                .collect();
            let shapes: Vec<_> = read.iter().map(|&node| graph.shape(node)).collect();
            let joined = graph.add("", Concatenation::new("joined", shapes), &read);
            let moods = preset.moods.len();
            let top = Dense::new("dense", "logits".to_owned(), graph.shape(joined), moods);
            let top = graph.add("", top, &[joined]);
            graph.add("", OutputLayer::new(preset.model.output, graph.shape(top)), &[top]);
            Network::of(graph, &preset, normalization(&preset))
        };
        let [one, two] = [1, 2].map(network);
        // Both readers have the weights that the one has, halved: the model is the same.
        let weights = |network: &Network, share: f32| -> Vec<f32> {
            let layout = network.layout(Storage::Parameters);
            let moods = network.preset.moods.len();
            let fill = |(name, _, length): (&str, usize, usize)| {
                let value = |at: usize| match name {
                    "dense.weight" => {
                        let (mood, column) = (at / (length / moods), at % (length / moods) % 3);
                        share * (mood as f32 + 0.7 * column as f32).sin()
                    }
                    _ => 0.3 * (at as f32).cos(),
                };
                (name.to_owned(), (0..length).map(value).collect::<Vec<_>>())
            };
            layout.flatten(&layout.entries().map(fill).collect::<Vec<_>>()).unwrap()
        };
        let below = |network: &Network, share| {
            let weights = weights(network, share);
            let (all, _) = gradients_at(network, &weights, 3, Limits::PORTABLE);
            let (offset, length) = network.layout(Storage::Parameters).get("below.weight").unwrap();
            all[offset..offset + length].to_vec()
        };
        let (alone, shared) = (below(&one, 1.0), below(&two, 0.5));
        assert!(alone.iter().any(|&g| g.abs() > 1e-3));
        for (a, b) in alone.iter().zip(&shared) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
    }
}
