//! What several ranks that train one model do together.

use std::sync::Arc;
use std::time::Instant;

use super::run::Run;
use crate::dataset::batches::Batch;
use crate::metrics::Predictions;
use crate::model::Update;
use crate::model::checkpoint::Checkpoint;
use crate::plan::Storage;
use crate::ranks::listed;
use crate::report::Progress;
use crate::{Error, Result};

impl Run {
    /// An update on a batch of `of` clips, of which `batch` holds this rank's. What the ranks say is
    /// summed in their order, so that all make the same update; whether one of them was `told` to stop.
    pub(super) fn update_together(
        &mut self,
        batch: &Batch,
        of: usize,
        update: Update,
        told: bool,
    ) -> Result<bool> {
        let [first, second] = self.session.parts()?.lengths();
        let buffers = self.session.length_of(Storage::Buffers);
        // Before the device adds this rank's clips to it.
        let loss_before = self.session.epoch_loss()?;
        let mut early = vec![0.0; first];
        let mut late = vec![0.0; second + buffers];
        let mut loss = 0.0;
        // A mean over the rank's clips counts as its clips do in the batch.
        let weight = batch.clips as f32 / of as f32;
        let weigh = |numbers: Vec<f32>| numbers.into_iter().map(move |number| weight * number);
        if batch.clips > 0 {
            let clips = self.ranks.share(of);
            let said =
                self.session.contribute(batch.inputs(), &batch.targets, clips, of, update)?;
            let [of_first, of_second] = said.gradient;
            early = weigh(of_first()?).collect();
            // The device computes the second part meanwhile.
            self.sum(&mut early)?;
            late = weigh(of_second()?).chain(weigh((said.buffers)()?)).collect();
            loss = (said.loss)()?.iter().sum();
        } else {
            self.sum(&mut early)?;
        }
        late.extend([loss, f32::from(u8::from(told))]);
        self.sum(&mut late)?;
        let (gradient, rest) = late.split_at(second);
        let (statistics, rest) = rest.split_at(buffers);
        self.session.apply([&early, gradient], statistics, update)?;
        self.session.set_epoch_loss(loss_before + rest[0])?;
        Ok(rest[1] > 0.0)
    }

    /// Sums numbers over all ranks.
    fn sum(&mut self, numbers: &mut [f32]) -> Result<()> {
        let asked = Instant::now();
        self.ranks.sum_in_order(numbers)?;
        self.exchanged += asked.elapsed().as_secs_f64();
        Ok(())
    }

    /// Has the model judge the validation clips, of which each rank takes a share.
    pub(super) fn validate(&mut self, progress: &Progress) -> Result<Predictions> {
        let clips = Arc::clone(&self.clips.validation);
        let share = self.ranks.share(clips.len());
        let own = self.predict("validation", &clips, share, progress)?;
        if !self.ranks.has_others() {
            return Ok(own);
        }
        let gather = |numbers: &[f32]| -> Result<Vec<f32>> {
            let all = self.ranks.gather(bytemuck::cast_slice(numbers))?.concat();
            let (words, _) = all.as_chunks();
            Ok(words.iter().map(|word| f32::from_ne_bytes(*word)).collect())
        };
        let targets = clips.iter().flat_map(|clip| clip.track.targets.iter().copied());
        Ok(Predictions {
            probabilities: gather(&own.probabilities)?,
            loss: gather(&own.loss)?,
            targets: targets.collect(),
        })
    }

    /// Refuses to save what is not the state of every rank.
    pub(super) fn check_same_weights(&self, checkpoint: &Checkpoint) -> Result<()> {
        let hash = blake3::hash(&checkpoint.to_bytes()?);
        let differing = self.ranks.differing(hash.as_bytes())?;
        if differing.is_empty() {
            return Ok(());
        }
        Err(Error::failure(format!(
            "after update {} the weights of ranks {} are not those of rank 0, bit for bit: their devices \
             compute Adam differently; start the ranks on adapters of one kind (--device), and go on \
             from what was saved before",
            self.update,
            listed(&differing)
        )))
    }
}
