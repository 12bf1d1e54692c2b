//! Reads batches of features from the cache, ahead of the device.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::cache::FeatureCache;
use super::prepare::Prepared;
use crate::{Error, Result};

/// Batches that are read ahead.
const AHEAD: usize = 1;

/// The clips of one update.
#[derive(Debug)]
pub struct Batch {
    /// [clips, size]: see [`FeatureRecipe`](super::features::FeatureRecipe).
    pub features: Vec<f32>,
    /// [clips, moods], 0 or 1.
    pub targets: Vec<f32>,
    /// Rows of both.
    pub clips: usize,
}

/// An iterator over batches that a thread of its own reads.
pub struct Batches {
    receiver: Option<Receiver<Result<Batch>>>,
    thread: Option<JoinHandle<()>>,
}

impl Batches {
    /// Reads the batches of `order` (indices into `clips`), in order.
    pub fn new(
        cache: Arc<FeatureCache>,
        clips: Arc<Vec<Prepared>>,
        order: Vec<Vec<usize>>,
    ) -> Self {
        let (sender, receiver) = sync_channel(AHEAD);
        let thread = std::thread::spawn(move || {
            for batch in order {
                if sender.send(read(&cache, &clips, &batch)).is_err() {
                    return;
                }
            }
        });
        Self { receiver: Some(receiver), thread: Some(thread) }
    }
}

fn read(cache: &FeatureCache, clips: &[Prepared], batch: &[usize]) -> Result<Batch> {
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
        return Ok(Batch { features: Vec::new(), targets: Vec::new(), clips: 0 });
    };
    let mut features = values(first)?;
    let size = features.len();
    features.resize(size * batch.len(), 0.0);
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
    Ok(Batch { features, targets, clips: batch.len() })
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
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
