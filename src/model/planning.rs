//! A plan in the making: what layers append their steps to, and what they hand to one another.

use std::collections::HashMap;
use std::ops::Range;

use super::layers::Map;
use super::network::Network;
use super::packing::Packing;
use crate::kernels::features::Spectrograms;
use crate::kernels::layers::augment::{self, CHANGE_WORDS};
use crate::kernels::layers::dropout::CONTROL_WORDS;
use crate::kernels::{ALIGNMENT, Declaration, Element, Facts, Kernel, optim};
use crate::model::checkpoint::Normalization;
use crate::plan::{Plan, Storage, Tensor, TensorId};

/// What a plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Forward, backward and Adam on a batch.
    Training,
    /// Forward and backward on a share of a batch, whose other clips other processes have.
    Gradients,
    /// Probabilities and their loss, with the running statistics and without dropout.
    Evaluation,
    /// Probabilities alone.
    Inference,
    /// What the last dense layer would read.
    Embedding,
}

impl Purpose {
    /// Whether the plan goes back through the model.
    pub fn trains(self) -> bool {
        matches!(self, Self::Training | Self::Gradients)
    }
}

/// How large the pieces are that large batches and long LSTMs are worked on in.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
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

/// What a plan that judges has besides the model.
#[derive(Clone, Copy, Debug)]
pub struct Judged {
    /// Input, [batch, moods].
    pub targets: TensorId,
    /// Input, \[moods\], where the preset weighs them.
    pub class_weights: Option<TensorId>,
    /// Output, [batch, moods].
    pub probabilities: TensorId,
    /// Output, \[batch\].
    pub loss: TensorId,
    /// [batch, moods]
    pub d_logits: TensorId,
}

/// Columns of a tensor [batch, width].
#[derive(Clone, Copy, Debug)]
pub struct Columns {
    pub tensor: TensorId,
    pub width: u32,
    pub first: u32,
    pub count: u32,
}

impl Columns {
    /// A tensor that is nothing else.
    pub fn all_of(tensor: TensorId, width: u32) -> Self {
        Self { tensor, width, first: 0, count: width }
    }
}

/// Some clips' part of a sequence, [clips, steps, features].
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The first clip and how many.
    pub clips: [u32; 2],
    pub tensor: TensorId,
}

/// What a layer hands to those that read it, for a batch.
#[derive(Clone)]
pub enum Value {
    /// The log-mel input, [batch, bands, steps].
    Plane(TensorId),
    /// A feature map in quads, to be normalised by whoever reads it.
    Map(Map),
    /// Clips after clips.
    Sequence(Vec<Part>),
    /// Numbers of each clip.
    Vector(Columns),
}

/// What a layer that reads another kind of value than the one before makes is: a graph that is
/// wrong.
const WRONG_GRAPH: &str = "a layer reads what the one before does not make";

impl Value {
    pub fn plane(&self) -> TensorId {
        match self {
            Self::Plane(tensor) => *tensor,
            _ => panic!("{WRONG_GRAPH}"),
        }
    }

    pub fn map(&self) -> &Map {
        match self {
            Self::Map(map) => map,
            _ => panic!("{WRONG_GRAPH}"),
        }
    }

    pub fn sequence(&self) -> &[Part] {
        match self {
            Self::Sequence(parts) => parts,
            _ => panic!("{WRONG_GRAPH}"),
        }
    }

    /// A sequence that comes in one part.
    pub fn whole_sequence(&self) -> TensorId {
        match self {
            Self::Sequence(parts) if parts.len() == 1 => parts[0].tensor,
            _ => panic!("{WRONG_GRAPH}"),
        }
    }

    pub fn vector(&self) -> Columns {
        match self {
            Self::Vector(columns) => *columns,
            _ => panic!("{WRONG_GRAPH}"),
        }
    }

    /// A vector that has its tensor for itself.
    pub fn whole_vector(&self) -> TensorId {
        let Columns { tensor, width, count, .. } = self.vector();
        assert_eq!(width, count, "{WRONG_GRAPH}");
        tensor
    }
}

/// The gradient to a [`Value`]: a tensor for each of its parts, and one for any other kind.
#[derive(Clone, Debug, Default)]
pub struct Gradient(Vec<TensorId>);

impl From<TensorId> for Gradient {
    fn from(tensor: TensorId) -> Self {
        Self(vec![tensor])
    }
}

impl Gradient {
    pub fn push(&mut self, part: TensorId) {
        self.0.push(part);
    }

    pub fn parts(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.0.iter().copied()
    }

    pub fn part(&self, index: usize) -> TensorId {
        self.0[index]
    }

    /// The gradient to a value of one part.
    pub fn whole(&self) -> TensorId {
        assert_eq!(self.0.len(), 1, "{WRONG_GRAPH}");
        self.0[0]
    }
}

/// A plan in the making.
pub struct Builder<'a> {
    pub network: &'a Network,
    pub plan: Plan,
    pub batch: u32,
    /// Clips of the batch before the first one, where the plan is for a share of it.
    pub first_clip: u32,
    pub limits: Limits,
    /// Input: [batch, mels, frames] before standardisation, or [batch, features] of layers after a cut.
    pub input: TensorId,
    /// Input, [batch, 6], of a model that reads the hand-crafted features.
    pub handcrafted: Option<TensorId>,
    /// Input of a training plan that changes clips: see [`augment::CHANGE_WORDS`].
    pub changes: Option<TensorId>,
    /// What the output layer leaves in a plan that judges.
    pub judged: Option<Judged>,
    purpose: Purpose,
    /// Where the parameters and the running statistics lie.
    model: [Storage; 2],
    /// Input of a training plan: see [`optim::adam::control`].
    control: Option<TensorId>,
    packed: HashMap<String, TensorId>,
    /// Where the vector of the layer that is being planned goes, if not into a tensor of its own.
    columns: Option<Columns>,
    /// Whether anything below the layer that is being planned is trained.
    trains_below: bool,
}

impl<'a> Builder<'a> {
    pub fn new(
        network: &'a Network,
        clips: Range<usize>,
        purpose: Purpose,
        limits: Limits,
        facts: &Facts,
    ) -> Self {
        let batch = clips.len();
        let mut plan = Plan::new(facts);
        let length = batch * network.graph().input_size();
        let input = plan.input("input", length, Element::F32);
        let control = purpose.trains().then(|| control(&mut plan));
        let mut packing = Packing::default();
        let layout = network.layout(Storage::Parameters);
        for layer in network.graph().layers() {
            for packed in layer.packing(purpose.trains()) {
                packing.add(layout, packed);
            }
        }
        let [parameters, buffers] = network.model_of(purpose);
        let packed = packing.step(&mut plan, parameters, layout.length());
        Self {
            network,
            plan,
            batch: batch as u32,
            first_clip: clips.start as u32,
            limits,
            input,
            handcrafted: None,
            changes: None,
            judged: None,
            purpose,
            model: [parameters, buffers],
            control,
            packed,
            columns: None,
            trains_below: false,
        }
    }

    /// How the spectrograms are standardised.
    pub fn spectrograms(&self) -> Spectrograms {
        let Normalization { mean, std, .. } = *self.network.normalization();
        Spectrograms { mean: mean as f32, inverse_deviation: std.recip() as f32 }
    }

    /// The spectrograms [batch, mels, frames] as the model hears them: in training changed, if the preset
    /// asks for that.
    pub fn heard(&mut self, [bands, steps]: [usize; 2]) -> TensorId {
        if !self.trains() || !self.network.preset().train.augments() {
            return self.input;
        }
        let batch = self.batch as usize;
        let changes = self.plan.input("changes", CHANGE_WORDS * batch, Element::U32);
        let output = self.plan.scratch("heard", batch * bands * steps);
        let params = augment::Params {
            batch: self.batch,
            bands: bands as u32,
            steps: steps as u32,
            mean: self.spectrograms().mean,
        };
        let input = self.input;
        self.step(params, augment::Tensors { changes, input, output });
        self.changes = Some(changes);
        output
    }

    /// Whether the batch is trained on.
    pub fn trains(&self) -> bool {
        self.purpose.trains()
    }

    /// Whether the probabilities are compared with targets.
    pub fn judges(&self) -> bool {
        self.trains() || self.purpose == Purpose::Evaluation
    }

    /// What dropout and the optimiser read; none outside training.
    pub fn control(&self) -> Option<TensorId> {
        self.control
    }

    /// Whether anybody wants the gradient to what the layer that is being planned reads.
    pub fn trains_below(&self) -> bool {
        self.trains_below
    }

    /// Turns to a layer.
    pub fn turn_to(&mut self, columns: Option<Columns>, trains_below: bool) {
        (self.columns, self.trains_below) = (columns, trains_below);
    }

    /// Where the vector goes that a layer makes: into columns of what joins it with others, or into
    /// a tensor of this name.
    pub fn vector(&mut self, name: &str, count: u32) -> Columns {
        self.columns.unwrap_or_else(|| {
            Columns::all_of(self.plan.scratch(name, (self.batch * count) as usize), count)
        })
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

    /// The parameter `what` of the layer `owner`, and so below.
    pub fn parameter(&mut self, owner: &str, what: &str) -> TensorId {
        self.stored(self.model[0], &format!("{owner}.{what}"))
    }

    pub fn gradient(&mut self, owner: &str, what: &str) -> TensorId {
        self.stored(Storage::Gradients, &format!("{owner}.{what}"))
    }

    pub fn buffer(&mut self, owner: &str, what: &str) -> TensorId {
        self.stored(self.model[1], &format!("{owner}.{what}"))
    }

    pub fn scratch(&mut self, owner: &str, what: &str, length: u32) -> TensorId {
        self.plan.scratch(format!("{owner}.{what}"), length as usize)
    }

    /// Weights in the order that a layer's kernels read.
    ///
    /// # Panics
    /// When the layer had none packed under this name: a planning error.
    pub fn packed(&self, owner: &str, what: &str) -> TensorId {
        let name = format!("{owner}.{what}");
        *self.packed.get(&name).unwrap_or_else(|| panic!("nothing is packed as {name}"))
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
        let most = (self.limits.part as usize / largest.max(1)).max(1);
        let begins = |&count: &usize| {
            of_a_clip
                .iter()
                .all(|&size| (size as u64 * count as u64).is_multiple_of(ALIGNMENT as u64))
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
            self.add(part, gradient);
        }
    }

    fn add(&mut self, part: TensorId, gradient: TensorId) {
        let elements = self.plan.tensor(gradient).length as u32;
        self.step(
            optim::accumulate::Params { elements },
            optim::accumulate::Tensors { part, gradient },
        );
    }

    /// The sum of the gradients that all readers of a value have for it; none where nobody has. The
    /// others are added to one that nobody else holds.
    ///
    /// # Panics
    /// When there is no such one: a planning error.
    pub fn sum(
        &mut self,
        mut gradients: Vec<Gradient>,
        holders: &HashMap<TensorId, usize>,
    ) -> Option<Gradient> {
        if gradients.len() < 2 {
            return gradients.pop();
        }
        let alone = |gradient: &Gradient| gradient.parts().all(|part| holders[&part] == 1);
        let place = gradients.iter().position(alone).expect("a gradient that can take others in");
        let sum = gradients.swap_remove(place);
        for further in gradients {
            for (&part, &into) in further.0.iter().zip(&sum.0) {
                self.add(part, into);
            }
        }
        Some(sum)
    }
}

/// The input of a plan that trains: see [`optim::adam::control`].
pub fn control(plan: &mut Plan) -> TensorId {
    plan.input("control", CONTROL_WORDS, Element::U32)
}

/// Appends one update of every parameter, and of the averages where the model has some.
pub fn update(plan: &mut Plan, network: &Network, control: TensorId) {
    let train = &network.preset().train;
    let length = network.layout(Storage::Parameters).length();
    let mut whole = |storage| plan.stored(format!("{storage:?}"), storage, 0, length);
    let tensors = optim::adam::Tensors {
        control,
        gradient: whole(Storage::Gradients),
        exp_avg: whole(Storage::ExpAvg),
        exp_avg_sq: whole(Storage::ExpAvgSq),
        parameter: whole(Storage::Parameters),
        status: plan.stored("status", Storage::Status, 0, 1),
    };
    let quads = (length / 4) as u32;
    plan.step(
        optim::adam::Params::new(quads, train.betas, train.epsilon, train.weight_decay),
        tensors,
    );
    for &(of, into) in network.averages() {
        let length = network.layout(of).length();
        if length == 0 {
            continue;
        }
        let mut whole = |storage| plan.stored(format!("{storage:?}"), storage, 0, length);
        let [value, average] = [of, into].map(&mut whole);
        let tensors = optim::average::Tensors { control, value, average };
        plan.step(optim::average::Params { quads: (length / 4) as u32 }, tensors);
    }
}
