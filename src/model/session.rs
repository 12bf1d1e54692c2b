//! A model on a device: its plans, made ready, and its tensors, by name.

use std::ops::Range;
use std::sync::Arc;

use super::augmentation;
use super::checkpoint::{Checkpoint, Description};
use super::network::{Handles, Network, Program};
use super::parameters::{optimizer_shapes, optimizer_storages, shapes};
use super::planning::Purpose;
use super::preset::Preset;
use super::sharing::GradientParts;
use crate::exec::{Arrival, Device, Executor, Input, ProgramIndex, fits};
use crate::kernels::layers::dropout::CONTROL_WORDS;
use crate::kernels::optim::adam;
use crate::plan::{Plan, STATUS_CLEAR, Storage, TensorId};
use crate::{Error, Result};

/// What a model reads of a batch's clips.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// How many there are.
    pub clips: usize,
    /// Log-mel spectrograms before standardisation, [clips, mels, frames], or what frozen layers made of
    /// them.
    pub main: &'a [f32],
    /// [clips, 6]; empty where the model reads none.
    pub handcrafted: &'a [f32],
}

/// What a model says of a batch whose moods are known, on its way to the host.
pub struct Judgement {
    /// [clips, moods]
    pub probabilities: Arrival,
    /// \[clips\]
    pub loss: Arrival,
}

/// Which update is made, and how far it goes.
#[derive(Clone, Copy, Debug)]
pub struct Update {
    /// Counted from 0.
    pub number: u64,
    /// What it draws depends on, beside its number.
    pub seed: u64,
    /// Adam's step size.
    pub learning_rate: f64,
    /// The weight that it has in the moving averages, where the model has some.
    pub averaging: f64,
}

impl Update {
    fn control(&self, preset: &Preset) -> [u32; CONTROL_WORDS] {
        let Self { number, seed, learning_rate, averaging } = *self;
        adam::control(number, seed, learning_rate, preset.train.betas, averaging)
    }
}

/// What a share of a batch says of an update, on its way to the host.
pub struct Contribution {
    /// Of the mean loss over the share's clips, in the two parts of [`Session::parts`]: while the first is
    /// there, the device computes the second.
    pub gradient: [Arrival; 2],
    /// The running statistics, moved by the share's clips.
    pub buffers: Arrival,
    /// Each clip's loss.
    pub loss: Arrival,
}

/// A plan that the device has.
struct Loaded {
    index: ProgramIndex,
    handles: Handles,
    /// Places of its clips in the batch.
    clips: Range<usize>,
    /// Steps after which the first part of the gradient is there, where the batch is shared.
    first_part: usize,
}

impl Loaded {
    fn inputs<'a>(&self, inputs: Inputs<'a>) -> Vec<(TensorId, Input<'a>)> {
        let mut all = vec![(self.handles.input, Input::F32(inputs.main))];
        all.extend(self.handles.handcrafted.map(|id| (id, Input::F32(inputs.handcrafted))));
        all
    }
}

/// A model's plans on a device.
pub struct Session {
    network: Network,
    executor: Box<dyn Executor>,
    training: Vec<Loaded>,
    evaluation: Vec<Loaded>,
    inference: Vec<Loaded>,
    /// Adam alone, and what it is told: where other processes have shares of the batches.
    optimizer: Option<(ProgramIndex, TensorId)>,
    /// Of the gradient that is shared then.
    parts: Option<GradientParts>,
    /// \[moods\], for plans that ask for them.
    class_weights: Vec<f32>,
}

/// Distinct sizes of batches when `clips` are cut into batches of `batch`.
fn sizes(clips: usize, batch: usize) -> Vec<usize> {
    let mut sizes = Vec::new();
    if clips >= batch {
        sizes.push(batch);
    }
    if !clips.is_multiple_of(batch) {
        sizes.push(clips % batch);
    }
    sizes
}

impl Session {
    /// Refuses a model that the device cannot run on a batch of so many clips, before there is
    /// anything to run it on.
    ///
    /// # Errors
    /// A tensor is larger than the device can bind; the message says what to change.
    pub fn check_fits(
        device: &Device,
        preset: &Preset,
        purpose: Purpose,
        batch: usize,
    ) -> Result<()> {
        let Device::Gpu(gpu) = device else { return Ok(()) };
        let network = Network::new(preset, Description::untrained(preset).normalization);
        let fits = |batch| {
            let plan = network.program(batch, purpose, gpu.facts()).plan;
            fits(&plan, &gpu.limits(), &gpu.summary().name)
        };
        let one = fits(1).map_err(|error| {
            error.context(format_args!(
                "audio.clip_seconds = {} is too long for this model, whatever the batch",
                preset.audio.clip_seconds
            ))
        });
        one.and_then(|()| fits(batch))
    }

    /// Plans for training on `training` clips and judging each number in `evaluation`, in batches of
    /// the preset's size, and for predicting the smallest of those.
    ///
    /// # Errors
    /// The device cannot hold a batch, or a kernel does not compile.
    pub fn new(
        device: &Device,
        network: Network,
        training: usize,
        evaluation: &[usize],
    ) -> Result<Self> {
        let trained = sizes(training, network.preset().train.batch);
        let trained = trained.into_iter().map(|size| (Purpose::Training, 0..size)).collect();
        Self::to_train(device, network, trained, evaluation, false)
    }

    /// As [`Self::new`], where a batch is shared with others: `share` says which clips of a batch of
    /// some size are this session's, and [`Self::contribute`] and [`Self::apply`] make an update.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn sharing(
        device: &Device,
        network: Network,
        training: usize,
        share: impl Fn(usize) -> Range<usize>,
        evaluation: &[usize],
    ) -> Result<Self> {
        let shares = sizes(training, network.preset().train.batch).into_iter().map(share);
        let shares = shares.filter(|clips| !clips.is_empty());
        let trained = shares.map(|clips| (Purpose::Gradients, clips)).collect();
        Self::to_train(device, network, trained, evaluation, true)
    }

    fn to_train(
        device: &Device,
        network: Network,
        trained: Vec<(Purpose, Range<usize>)>,
        evaluation: &[usize],
        shares: bool,
    ) -> Result<Self> {
        let batch = network.preset().train.batch;
        let mut evaluated: Vec<usize> =
            evaluation.iter().flat_map(|&clips| sizes(clips, batch)).collect();
        evaluated.sort_unstable();
        evaluated.dedup();
        let smallest = evaluated.first().map(|&size| (Purpose::Inference, 0..size));
        let evaluated = evaluated.iter().map(|&size| (Purpose::Evaluation, 0..size));
        let wanted = trained.into_iter().chain(evaluated).chain(smallest);
        Self::load(device, network, wanted, shares)
    }

    /// Layers with a checkpoint's weights, to compute what they make of batches of exactly these sizes
    /// with [`Self::predict`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn embedding(
        device: &Device,
        network: Network,
        checkpoint: &Checkpoint,
        batches: &[usize],
    ) -> Result<Self> {
        let batches = batches.iter().map(|&size| (Purpose::Embedding, 0..size));
        let mut session = Self::load(device, network, batches, false)?;
        session.put(checkpoint)?;
        Ok(session)
    }

    /// A checkpoint's model, ready for batches of exactly these sizes.
    ///
    /// # Errors
    /// As [`Self::new`], and a tensor that is missing in the checkpoint.
    pub fn open(
        device: &Device,
        checkpoint: &Checkpoint,
        purpose: Purpose,
        batches: &[usize],
    ) -> Result<Self> {
        let description = checkpoint.description()?;
        let network = Network::new(&description.preset, description.normalization);
        let batches = batches.iter().map(|&size| (purpose, 0..size));
        let mut session = Self::load(device, network, batches, false)?;
        session.put(checkpoint)?;
        Ok(session)
    }

    fn load(
        device: &Device,
        network: Network,
        wanted: impl Iterator<Item = (Purpose, Range<usize>)>,
        shares: bool,
    ) -> Result<Self> {
        let facts = device.facts();
        let parts = shares.then(|| GradientParts::of(&network));
        let mut plans: Vec<Arc<Plan>> = Vec::new();
        let [mut training, mut evaluation, mut inference] = [(); 3].map(|()| Vec::new());
        for (index, (purpose, clips)) in wanted.enumerate() {
            let program = network.program_of_share(clips.clone(), purpose, facts);
            let Program { mut plan, handles } = program;
            if let Some(before) = plans.last() {
                plan.share_constants(before);
            }
            let first_part = match (&parts, purpose) {
                (Some(parts), Purpose::Gradients) => parts.steps(&plan),
                _ => plan.steps().len(),
            };
            plans.push(Arc::new(plan));
            match purpose {
                Purpose::Training | Purpose::Gradients => &mut training,
                Purpose::Evaluation => &mut evaluation,
                Purpose::Inference | Purpose::Embedding => &mut inference,
            }
            .push(Loaded { index, handles, clips, first_part });
        }
        let optimizer = shares.then(|| {
            let (plan, control) = network.optimizer(facts);
            plans.push(Arc::new(plan));
            (plans.len() - 1, control)
        });
        let executor = device.load(plans)?;
        let class_weights = vec![1.0; network.preset().moods.len()];
        Ok(Self {
            network,
            executor,
            training,
            evaluation,
            inference,
            optimizer,
            parts,
            class_weights,
        })
    }

    /// What the positive term of each mood is multiplied with, for a preset with
    /// `train.class_weights`; all 1 until it is called.
    pub fn set_class_weights(&mut self, weights: Vec<f32>) {
        assert_eq!(weights.len(), self.network.preset().moods.len());
        self.class_weights = weights;
    }

    /// The model.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Puts a checkpoint's weights and running statistics in place, as they are and as averages.
    ///
    /// # Errors
    /// A tensor is missing, or the device fails.
    pub fn put(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let graph = self.network.graph();
        let parameters = checkpoint.values(&shapes(graph.parameters()))?;
        let buffers = checkpoint.values(&shapes(graph.buffers()))?;
        self.upload(Storage::Parameters, &parameters)?;
        self.upload(Storage::Buffers, &buffers)?;
        for &(of, into) in self.network.averages() {
            let tensors = if of == Storage::Parameters { &parameters } else { &buffers };
            self.upload(into, tensors)?;
        }
        Ok(())
    }

    /// Puts a checkpoint's optimiser in the state that it was in.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn put_optimizer(&mut self, checkpoint: &Checkpoint) -> Result<()> {
        let state = checkpoint.values(&optimizer_shapes(self.network.preset()))?;
        for &(storage, prefix) in optimizer_storages(self.network.preset()) {
            let layout = self.network.layout(storage);
            let of_storage = |(name, values): &(String, Vec<f32>)| {
                let name = name.strip_prefix(prefix).filter(|name| layout.get(name).is_some())?;
                Some((name.to_owned(), values.clone()))
            };
            let tensors: Vec<_> = state.iter().filter_map(of_storage).collect();
            self.upload(storage, &tensors)?;
        }
        Ok(())
    }

    /// Puts named tensors into a storage; tensors of other names are an error of the caller.
    pub fn upload(&mut self, storage: Storage, tensors: &[(String, Vec<f32>)]) -> Result<()> {
        let flat = self.network.layout(storage).flatten(tensors)?;
        self.executor.upload(storage, &flat)
    }

    /// The named tensors of a storage, in the model's order.
    pub fn download(&mut self, storage: Storage) -> Result<Vec<(String, Vec<f32>)>> {
        let flat = self.executor.download(storage)?;
        let layout = self.network.layout(storage);
        layout
            .entries()
            .map(|(name, offset, length)| {
                // A storage that no plan uses has no elements.
                let values = flat.get(offset..offset + length).map(<[f32]>::to_vec);
                Ok((name.to_owned(), values.unwrap_or_else(|| vec![0.0; length])))
            })
            .collect()
    }

    /// The sum of the losses of the clips trained on since it was last set.
    ///
    /// # Errors
    /// The device fails.
    pub fn epoch_loss(&mut self) -> Result<f32> {
        Ok(self.executor.download(Storage::EpochLoss)?.first().copied().unwrap_or(0.0))
    }

    /// Begins an epoch, or goes on with one.
    ///
    /// # Errors
    /// The device fails.
    pub fn set_epoch_loss(&mut self, sum: f32) -> Result<()> {
        self.executor.upload(Storage::EpochLoss, &[sum])
    }

    /// Waits until an update can be started without waiting.
    ///
    /// # Errors
    /// The device fails.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        self.executor.wait_until_ready()
    }

    /// Starts an update on a batch; `targets` are [clips, moods], 0 or 1.
    ///
    /// # Errors
    /// No plan was made for so many clips; the device fails.
    pub fn update(&mut self, inputs: Inputs<'_>, targets: &[f32], update: Update) -> Result<()> {
        let of = inputs.clips;
        let place = self.training_of(&(0..of), of)?;
        let steps = self.training[place].first_part;
        self.train(place, inputs, targets, of, update, steps)
    }

    /// What the clips at these places of a batch of `of` say of an update, from the parameters as they are:
    /// [`Self::apply`] changes them.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn contribute(
        &mut self,
        inputs: Inputs<'_>,
        targets: &[f32],
        clips: Range<usize>,
        of: usize,
        update: Update,
    ) -> Result<Contribution> {
        let place = self.training_of(&clips, inputs.clips)?;
        let Loaded { index, first_part, handles, .. } = self.training[place];
        self.train(place, inputs, targets, of, update, first_part)?;
        let first = self.send_part(0)?;
        self.executor.go_on_from(index, first_part)?;
        let loss = handles.loss.unwrap_or_else(|| unreachable!("a training has a loss"));
        Ok(Contribution {
            gradient: [first, self.send_part(1)?],
            buffers: self
                .executor
                .send_stored(Storage::Buffers, 0..self.length_of(Storage::Buffers))?,
            loss: self.executor.send(index, loss)?,
        })
    }

    /// Starts sending a part of the gradient to the host.
    fn send_part(&mut self, part: usize) -> Result<Arrival> {
        let ranges = self.parts()?.parts[part].clone();
        let send = |range| self.executor.send_stored(Storage::Gradients, range);
        let arrivals: Vec<Arrival> = ranges.into_iter().map(send).collect::<Result<_>>()?;
        Ok(Box::new(|| {
            let numbers: Vec<Vec<f32>> =
                arrivals.into_iter().map(|arrival| arrival()).collect::<Result<_>>()?;
            Ok(numbers.concat())
        }))
    }

    /// The parts that [`Self::contribute`] gives and [`Self::apply`] takes.
    ///
    /// # Errors
    /// The session shares no batches.
    pub fn parts(&self) -> Result<&GradientParts> {
        self.parts.as_ref().ok_or_else(|| Error::failure("no plan was made to share a batch"))
    }

    /// Numbers that are laid out as a storage is.
    pub fn length_of(&self, storage: Storage) -> usize {
        self.network.layout(storage).length()
    }

    /// Makes an update with the two parts of the gradient of a whole batch, and puts the running statistics in
    /// their place; all are laid out as [`Self::contribute`] gives them.
    ///
    /// # Errors
    /// The session shares no batches; the device fails.
    pub fn apply(&mut self, gradient: [&[f32]; 2], buffers: &[f32], update: Update) -> Result<()> {
        let gradient = self.parts()?.join(gradient);
        let (index, control) = self
            .optimizer
            .ok_or_else(|| Error::failure("no plan was made to apply gradients alone"))?;
        let words = update.control(self.network.preset());
        self.executor.upload(Storage::Gradients, &gradient)?;
        self.executor.upload(Storage::Buffers, buffers)?;
        self.executor.run(index, &[(control, Input::U32(&words))])
    }

    /// The plan that trains on the clips at these places of a batch.
    fn training_of(&self, clips: &Range<usize>, count: usize) -> Result<usize> {
        self.training.iter().position(|loaded| loaded.clips == *clips).ok_or_else(|| no_plan(count))
    }

    /// Starts the first steps of a plan that trains on clips of a batch of `of`.
    fn train(
        &mut self,
        place: usize,
        inputs: Inputs<'_>,
        targets: &[f32],
        of: usize,
        update: Update,
        steps: usize,
    ) -> Result<()> {
        let loaded = &self.training[place];
        let Loaded { index, handles, .. } = loaded;
        let mut all = loaded.inputs(inputs);
        let preset = self.network.preset();
        let train = &preset.train;
        let control = update.control(preset);
        let changes = match handles.changes {
            Some(_) => {
                let plane = [preset.features.mels, preset.frames()].map(|n| n as u32);
                let changes = augmentation::draw(train, of, plane, update.seed, update.number);
                augmentation::of_share(changes, loaded.clips.clone())
            }
            None => Vec::new(),
        };
        let words = augmentation::words(&changes);
        let moods = preset.moods.len();
        let targets = augmentation::targets(targets, moods, &changes, train.label_smoothing);
        all.extend(handles.changes.map(|id| (id, Input::U32(&words))));
        all.extend(handles.targets.map(|id| (id, Input::F32(&targets))));
        all.extend(handles.control.map(|id| (id, Input::U32(&control))));
        all.extend(handles.class_weights.map(|id| (id, Input::F32(&self.class_weights))));
        self.executor.run_to(*index, &all, steps)
    }

    /// Clips of the smallest batch that a plan predicts.
    pub fn smallest_prediction(&self) -> Option<usize> {
        self.inference.iter().map(|loaded| loaded.handles.batch).min()
    }

    /// Starts predicting a batch. The probabilities [clips, moods], or the embeddings [clips, features],
    /// are waited for without it.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn predict(&mut self, inputs: Inputs<'_>) -> Result<Arrival> {
        let loaded = find(&self.inference, inputs.clips)?;
        self.executor.run(loaded.index, &loaded.inputs(inputs))?;
        self.executor.send(loaded.index, loaded.handles.output)
    }

    /// Starts bringing what the last dense layer has read in [`Self::predict`] of so many clips to the
    /// host, [clips, features].
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn embedding_of(&mut self, clips: usize) -> Result<Arrival> {
        let loaded = find(&self.inference, clips)?;
        let embedding = loaded.handles.embedding;
        let embedding = embedding.unwrap_or_else(|| unreachable!("predicting has an embedding"));
        self.executor.send(loaded.index, embedding)
    }

    /// Starts comparing a batch with its targets, [clips, moods]; waited for without the batch.
    ///
    /// # Errors
    /// As [`Self::update`].
    pub fn evaluate(&mut self, inputs: Inputs<'_>, targets: &[f32]) -> Result<Judgement> {
        let loaded = find(&self.evaluation, inputs.clips)?;
        let Loaded { index, handles, .. } = loaded;
        let mut all = loaded.inputs(inputs);
        all.extend(handles.targets.map(|id| (id, Input::F32(targets))));
        self.executor.run(*index, &all)?;
        let loss = handles.loss.unwrap_or_else(|| unreachable!("an evaluation has a loss"));
        Ok(Judgement {
            probabilities: self.executor.send(*index, handles.output)?,
            loss: self.executor.send(*index, loss)?,
        })
    }

    /// Waits, and fails if a gradient was not finite.
    ///
    /// # Errors
    /// The first such update; the device fails.
    pub fn check(&mut self) -> Result<()> {
        match self.executor.status()?.first() {
            None | Some(&STATUS_CLEAR) => Ok(()),
            Some(update) => Err(Error::failure(format!(
                "a gradient was not finite in update {update}: {}",
                self.network.preset().train.diverged()
            ))),
        }
    }
}

fn find(programs: &[Loaded], clips: usize) -> Result<&Loaded> {
    programs.iter().find(|loaded| loaded.handles.batch == clips).ok_or_else(|| no_plan(clips))
}

fn no_plan(clips: usize) -> Error {
    Error::failure(format!("no plan was made for a batch of {clips}"))
}
