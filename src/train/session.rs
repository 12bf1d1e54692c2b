//! A model on a device: its plans, made ready, and its tensors, by name.

use std::sync::Arc;

use super::DIVERGED;
use crate::dataset::batches::Batch;
use crate::exec::{Device, Executor, Input, ProgramIndex};
use crate::kernels::optim::adam;
use crate::metrics::Predictions;
use crate::model::{Network, Program};
use crate::plan::{Layout, Plan, STATUS_CLEAR, Storage, TensorId};
use crate::{Error, Result};

/// The tensors that the host writes and reads, without the plan.
#[derive(Clone, Copy, Debug)]
struct Handles {
    index: ProgramIndex,
    batch: usize,
    features: TensorId,
    targets: TensorId,
    control: Option<TensorId>,
    class_weights: Option<TensorId>,
    probabilities: TensorId,
    loss: TensorId,
}

/// A model's plans on a device.
pub struct Session {
    network: Network,
    executor: Box<dyn Executor>,
    training: Vec<Handles>,
    inference: Vec<Handles>,
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
    /// Plans for training on `training` clips and predicting on each number in `inference`, in
    /// batches of the preset's size.
    ///
    /// # Errors
    /// The device cannot hold a batch, or a kernel does not compile.
    pub fn new(
        device: &Device,
        network: Network,
        training: usize,
        inference: &[usize],
    ) -> Result<Self> {
        let batch = network.preset().train.batch;
        let mut predicted: Vec<usize> =
            inference.iter().flat_map(|&clips| sizes(clips, batch)).collect();
        predicted.sort_unstable();
        predicted.dedup();
        Self::load(device, network, &sizes(training, batch), &predicted)
    }

    /// Plans for predicting batches of exactly these sizes, whatever the preset trained with.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_prediction(device: &Device, network: Network, batches: &[usize]) -> Result<Self> {
        Self::load(device, network, &[], batches)
    }

    fn load(
        device: &Device,
        network: Network,
        training: &[usize],
        inference: &[usize],
    ) -> Result<Self> {
        let mut plans: Vec<Arc<Plan>> = Vec::new();
        let mut load = |program: Program| {
            let index = plans.len();
            let mut plan = program.plan;
            if let Some(before) = plans.last() {
                plan.share_constants(before);
            }
            plans.push(Arc::new(plan));
            Handles {
                index,
                batch: program.batch,
                features: program.features,
                targets: program.targets,
                control: program.control,
                class_weights: program.class_weights,
                probabilities: program.probabilities,
                loss: program.loss,
            }
        };
        let training: Vec<_> = training.iter().map(|&size| load(network.training(size))).collect();
        let inference: Vec<_> =
            inference.iter().map(|&size| load(network.inference(size))).collect();
        let executor = device.load(plans)?;
        let class_weights = vec![1.0; network.preset().moods.len()];
        Ok(Self { network, executor, training, inference, class_weights })
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

    /// Puts named tensors into a storage; tensors of other names are an error of the caller.
    pub fn upload(&mut self, storage: Storage, tensors: &[(String, Vec<f32>)]) -> Result<()> {
        let layout = self.network.layout(storage);
        let mut flat = vec![0.0; layout.length()];
        for (name, values) in tensors {
            let (offset, length) = place(layout, name)?;
            if values.len() != length {
                return Err(Error::failure(format!("{name} has {} values", values.len())));
            }
            flat[offset..offset + length].copy_from_slice(values);
        }
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

    /// Starts update `update` on a batch.
    pub fn update(&mut self, batch: &Batch, update: u64, seed: u64, rate: f64) -> Result<()> {
        let program = find(&self.training, batch.clips)?;
        let betas = self.network.preset().train.betas;
        let control = adam::control(update, seed, rate, betas);
        let mut inputs = vec![
            (program.features, Input::F32(&batch.features)),
            (program.targets, Input::F32(&batch.targets)),
        ];
        inputs.extend(program.control.map(|id| (id, Input::U32(&control))));
        inputs.extend(program.class_weights.map(|id| (id, Input::F32(&self.class_weights))));
        self.executor.run(program.index, &inputs)
    }

    /// The smallest batch that a plan predicts.
    pub fn smallest_prediction(&self) -> Option<usize> {
        self.inference.iter().map(|program| program.batch).min()
    }

    /// Predicts a batch; waits for the result, without the batch.
    pub fn predict(&mut self, batch: Batch, into: &mut Predictions) -> Result<()> {
        let program = find(&self.inference, batch.clips)?;
        let inputs = [
            (program.features, Input::F32(&batch.features)),
            (program.targets, Input::F32(&batch.targets)),
        ];
        self.executor.run(program.index, &inputs)?;
        into.targets.extend(batch.targets.iter().map(|&target| target > 0.5));
        drop(batch);
        into.probabilities.extend(self.executor.read(program.index, program.probabilities)?);
        into.loss.extend(self.executor.read(program.index, program.loss)?);
        Ok(())
    }

    /// Waits, and fails if a gradient was not finite.
    pub fn check(&mut self) -> Result<()> {
        match self.executor.status()?.first() {
            None | Some(&STATUS_CLEAR) => Ok(()),
            Some(update) => Err(Error::failure(format!(
                "a gradient was not finite in update {update}: {DIVERGED}"
            ))),
        }
    }
}

fn place(layout: &Layout, name: &str) -> Result<(usize, usize)> {
    layout.get(name).ok_or_else(|| Error::failure(format!("the model has no tensor {name}")))
}

fn find(programs: &[Handles], clips: usize) -> Result<Handles> {
    programs
        .iter()
        .copied()
        .find(|program| program.batch == clips)
        .ok_or_else(|| Error::failure(format!("no plan was made for a batch of {clips}")))
}
