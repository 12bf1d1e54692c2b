//! Reads batches of features from the cache, ahead of the device.
//!
//! A batch of 32 clips has 21 MB. One buffer goes round: as soon as the device has its copy of a
//! batch, the next one is read into the same memory.

use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::cache::FeatureCache;
use super::prepare::Prepared;
use crate::{Error, Result};

/// The clips of one update. Dropped, it lets [`Batches`] read the next.
#[derive(Debug)]
pub struct Batch {
    /// [clips, size]: see [`FeatureRecipe`](super::features::FeatureRecipe).
    pub features: Vec<f32>,
    /// [clips, moods], 0 or 1.
    pub targets: Vec<f32>,
    /// Rows of both.
    pub clips: usize,
    /// Where the memory of the features goes back to.
    emptied: Option<Sender<Vec<f32>>>,
}

impl Batch {
    /// A batch that is not from the cache.
    pub fn new(features: Vec<f32>, targets: Vec<f32>, clips: usize) -> Self {
        Self { features, targets, clips, emptied: None }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(emptied) = &self.emptied {
            // Nobody reads any more where this fails.
            let _ = emptied.send(mem::take(&mut self.features));
        }
    }
}

/// An iterator over batches that a thread of its own reads, each while the device computes the one
/// before. A batch must be dropped before the next is asked for.
pub struct Batches {
    receiver: Option<Receiver<Result<Batch>>>,
    emptied: Sender<Vec<f32>>,
    thread: Option<JoinHandle<()>>,
}

impl Batches {
    /// Reads the batches of `order` (indices into `clips`), in order, up to the first error.
    pub fn new(
        cache: Arc<FeatureCache>,
        clips: Arc<Vec<Prepared>>,
        order: Vec<Vec<usize>>,
    ) -> Self {
        let (sender, receiver) = sync_channel(0);
        let (emptied, empty) = channel();
        let back = emptied.clone();
        let thread = std::thread::spawn(move || {
            let mut buffer = Vec::new();
            for indices in order {
                let batch = read(&cache, &clips, &indices, buffer).map(|mut batch| {
                    batch.emptied = Some(back.clone());
                    batch
                });
                let failed = batch.is_err();
                if sender.send(batch).is_err() || failed {
                    return;
                }
                let Ok(emptied) = empty.recv() else { return };
                buffer = emptied;
            }
        });
        Self { receiver: Some(receiver), emptied, thread: Some(thread) }
    }
}

fn read(
    cache: &FeatureCache,
    clips: &[Prepared],
    batch: &[usize],
    mut features: Vec<f32>,
) -> Result<Batch> {
    let values = |&index: &usize| {
        let clip = &clips[index];
        cache.get(clip.key).ok_or_else(|| {
            Error::failure(format!(
                "the cached features of {} are gone from {}; start again to compute them anew \
                 (--resume goes on where the run stopped)",
                clip.track.track.listed,
                cache.folder().display()
            ))
        })
    };
    let Some((first, others)) = batch.split_first() else {
        return Ok(Batch::new(Vec::new(), Vec::new(), 0));
    };
    let first = values(first)?;
    let size = first.len();
    features.resize(size * batch.len(), 0.0);
    features[..size].copy_from_slice(&first);
    // Checking one clip after the other would not keep up with a fast GPU.
    features[size..].par_chunks_mut(size).zip(others).try_for_each(|(to, index)| {
        to.copy_from_slice(&values(index)?);
        Ok::<_, Error>(())
    })?;
    let mut targets = Vec::new();
    for &index in batch {
        let clip = &clips[index];
        targets.extend(clip.track.targets.iter().map(|&target| f32::from(u8::from(target))));
    }
    Ok(Batch::new(features, targets, batch.len()))
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        self.receiver.as_ref().and_then(|receiver| receiver.recv().ok())
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // A closed channel ends the thread; it must not outlive the run.
        drop(self.receiver.take());
        // It may wait for a batch that somebody holds.
        let _ = self.emptied.send(Vec::new());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
