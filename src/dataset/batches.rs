//! Reads batches of features from the cache, ahead of the device.
//!
//! A batch of 32 clips has 21 MB. One buffer goes round: as soon as the device has its copy of a
//! batch, the next one is read into the same memory.

use std::mem;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;

use super::cache::FeatureCache;
use super::features::Features;
use super::prepare::Prepared;
use crate::metrics::Predictions;
use crate::model::{Inputs, Session};
use crate::{Error, Result};

/// The clips of one update. Dropped, it lets [`Batches`] read the next.
#[derive(Debug)]
pub struct Batch {
    /// What a model reads: see [`Inputs::main`].
    pub main: Vec<f32>,
    /// [clips, 6]; empty, where the model reads none.
    pub handcrafted: Vec<f32>,
    /// [clips, moods], 0 or 1.
    pub targets: Vec<f32>,
    /// Rows of each.
    pub clips: usize,
    /// Where the memory of the spectrograms goes back to.
    emptied: Option<Sender<Option<Vec<f32>>>>,
}

impl Batch {
    /// A batch that is not from the cache.
    pub fn new<'a>(features: impl IntoIterator<Item = &'a Features>, targets: Vec<f32>) -> Self {
        let mut batch =
            Self { main: Vec::new(), handcrafted: Vec::new(), targets, clips: 0, emptied: None };
        for Features { log_mel, handcrafted } in features {
            batch.main.extend(log_mel);
            batch.handcrafted.extend(handcrafted.iter().flatten());
            batch.clips += 1;
        }
        batch
    }
}

impl Batch {
    /// What a model reads of it.
    pub fn inputs(&self) -> Inputs<'_> {
        let Self { clips, main, handcrafted, .. } = self;
        Inputs { clips: *clips, main, handcrafted }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        if let Some(emptied) = &self.emptied {
            // Nobody reads any more where this fails.
            let _ = emptied.send(Some(mem::take(&mut self.main)));
        }
    }
}

/// Batches that a thread of its own reads, each from when the one before was dropped: while the
/// device computes it.
pub struct Batches {
    receiver: Option<Receiver<Result<Batch>>>,
    /// The clip that each row of all batches is of.
    rows: Vec<usize>,
    /// Takes the memory of a batch, or ends the thread.
    emptied: Sender<Option<Vec<f32>>>,
    thread: Option<JoinHandle<()>>,
}

impl Batches {
    /// Reads the batches of `order`, in order, up to the first error.
    pub fn new(
        cache: Arc<FeatureCache>,
        clips: Arc<Vec<Prepared>>,
        order: Vec<Vec<Window>>,
    ) -> Self {
        let rows = order.iter().flatten().map(|window| window.clip).collect();
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
                let Ok(Some(emptied)) = empty.recv() else { return };
                buffer = emptied;
            }
        });
        Self { receiver: Some(receiver), rows, emptied, thread: Some(thread) }
    }

    /// The next batch, or none after the last; the one before must be dropped.
    ///
    /// # Errors
    /// An entry of the cache is gone.
    pub fn next_batch(&mut self) -> Result<Option<Batch>> {
        let received = self.receiver.as_ref().and_then(|receiver| receiver.recv().ok());
        if let Some(batch) = received {
            return batch.map(Some);
        }
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(Error::failure("the thread that reads the features broke down")),
            _ => Ok(None),
        }
    }
}

impl Batches {
    /// Has a model judge every batch; `progress` is told how many windows are done. Of a clip with
    /// several, which must follow one another, probabilities and losses are averaged.
    ///
    /// # Errors
    /// An entry of the cache is gone; the device fails.
    pub fn judge(mut self, session: &mut Session, progress: &dyn Fn(usize)) -> Result<Predictions> {
        let mut all = Predictions::default();
        while let Some(batch) = self.next_batch()? {
            let judgement = session.evaluate(batch.inputs(), &batch.targets)?;
            all.targets.extend(batch.targets.iter().map(|&target| target > 0.5));
            // The device has its copy: the next one is read from now on.
            drop(batch);
            all.probabilities.extend((judgement.probabilities)()?);
            all.loss.extend((judgement.loss)()?);
            progress(all.loss.len());
        }
        Ok(by_clip(all, &self.rows))
    }
}

/// A window of a clip: both places are counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The clip.
    pub clip: usize,
    /// Its window.
    pub window: usize,
}

/// Every window of some of the clips, in batches of so many.
pub fn all_windows(clips: &[Prepared], of: Range<usize>, batch: usize) -> Vec<Vec<Window>> {
    let of_clip = |clip: usize| (0..clips[clip].windows).map(move |window| Window { clip, window });
    let windows: Vec<Window> = of.flat_map(of_clip).collect();
    windows.chunks(batch).map(<[_]>::to_vec).collect()
}

/// How many windows some clips have.
pub fn window_count(clips: &[Prepared]) -> usize {
    clips.iter().map(|clip| clip.windows).sum()
}

/// The means over the rows of each clip.
fn by_clip(all: Predictions, rows: &[usize]) -> Predictions {
    let moods = all.probabilities.len() / rows.len().max(1);
    let mut means = Predictions::default();
    let mut first = 0;
    for run in rows.chunk_by(|one, next| one == next) {
        let of_run = first..first + run.len();
        let mean = |column: &mut dyn Iterator<Item = f32>| {
            (column.map(f64::from).sum::<f64>() / run.len() as f64) as f32
        };
        for mood in 0..moods {
            let mut column = of_run.clone().map(|row| all.probabilities[row * moods + mood]);
            means.probabilities.push(mean(&mut column));
        }
        means.loss.push(mean(&mut all.loss[of_run].iter().copied()));
        means.targets.extend(&all.targets[first * moods..(first + 1) * moods]);
        first += run.len();
    }
    means
}

fn read(
    cache: &FeatureCache,
    clips: &[Prepared],
    batch: &[Window],
    mut main: Vec<f32>,
) -> Result<Batch> {
    let values = |&Window { clip, window }: &Window| {
        let clip = &clips[clip];
        let of_window = |all: Vec<f32>| {
            let size = all.len() / clip.windows;
            match clip.windows {
                1 => all,
                _ => all[window * size..(window + 1) * size].to_vec(),
            }
        };
        cache.get(clip.input).map(|entry| of_window(entry.values)).ok_or_else(|| {
            Error::failure(format!(
                "the cached features of {} are gone from {}; start again to compute them anew \
                 (--resume goes on where the run stopped)",
                clip.track.track.listed,
                cache.folder().display()
            ))
        })
    };
    let Some((first, others)) = batch.split_first() else {
        return Ok(Batch::new([], Vec::new()));
    };
    let first = values(first)?;
    let size = first.len();
    main.resize(size * batch.len(), 0.0);
    main[..size].copy_from_slice(&first);
    // Checking one clip after the other would not keep up with a fast GPU.
    main[size..].par_chunks_mut(size).zip(others).try_for_each(|(to, window)| {
        to.copy_from_slice(&values(window)?);
        Ok::<_, Error>(())
    })?;
    let (mut handcrafted, mut targets) = (Vec::new(), Vec::new());
    for &Window { clip, .. } in batch {
        let clip = &clips[clip];
        handcrafted.extend(clip.handcrafted.iter().flatten());
        targets.extend(clip.track.targets.iter().map(|&target| f32::from(u8::from(target))));
    }
    Ok(Batch { main, handcrafted, targets, clips: batch.len(), emptied: None })
}

impl Drop for Batches {
    fn drop(&mut self) {
        // A closed channel ends the thread; it must not outlive the run.
        drop(self.receiver.take());
        // It may wait for a batch that somebody holds.
        let _ = self.emptied.send(None);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::cache::{Key, Remarks};
    use crate::dataset::labels::LabelledTrack;
    use crate::dataset::manifest::Track;
    use crate::kernels::features::HANDCRAFTED;

    /// A cache with `count` clips of three numbers, of which the first is the clip's index, as are the
    /// hand-crafted features.
    fn corpus(count: usize) -> (tempfile::TempDir, Arc<FeatureCache>, Arc<Vec<Prepared>>) {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(Some(folder.path().to_owned())).unwrap();
        let clips = (0..count).map(|index| {
            let name = format!("{index}.wav");
            let track = Track {
                id: name.clone(),
                artist: None,
                album: None,
                path: name.clone().into(),
                listed: name.clone(),
                duration: None,
                tags: Vec::new(),
            };
            let content = blake3::hash(name.as_bytes());
            let key = Key::new(content, "test", "test");
            let features = Features {
                log_mel: vec![index as f32, 0.5, 0.25],
                handcrafted: Some([index as f32; HANDCRAFTED]),
            };
            cache.put(key, &features.log_mel, Remarks::default()).unwrap();
            let targets = vec![index % 2 == 0];
            Prepared::new(LabelledTrack { track, targets }, content, key, &[features])
        });
        let clips = Arc::new(clips.collect());
        (folder, Arc::new(cache), clips)
    }

    /// The only windows of these clips.
    fn of(batches: &[&[usize]]) -> Vec<Vec<Window>> {
        let window = |&clip: &usize| Window { clip, window: 0 };
        batches.iter().map(|batch| batch.iter().map(window).collect()).collect()
    }

    #[test]
    fn windows_of_a_clip_are_averaged() {
        let all = Predictions {
            probabilities: vec![0.25, 0.5, 0.75, 0.0, 0.5, 0.125],
            loss: vec![1.0, 2.0, 4.0],
            targets: vec![true, false, true, false, false, true],
        };
        let means = by_clip(all, &[7, 7, 9]);
        assert_eq!(means.probabilities, [0.5, 0.25, 0.5, 0.125]);
        assert_eq!(means.loss, [1.5, 4.0]);
        assert_eq!(means.targets, [true, false, false, true]);
    }

    #[test]
    fn batches_come_in_order_and_the_last_may_be_shorter() {
        let (_folder, cache, clips) = corpus(5);
        let mut batches = Batches::new(cache, clips, of(&[&[3, 0], &[4, 1], &[2]]));
        let mut read = Vec::new();
        while let Some(batch) = batches.next_batch().unwrap() {
            assert_eq!(batch.main.len(), 3 * batch.clips);
            let firsts: Vec<f32> = batch.main.chunks(3).map(|clip| clip[0]).collect();
            let six = firsts.iter().flat_map(|&index| [index; HANDCRAFTED]);
            assert_eq!(batch.handcrafted, six.collect::<Vec<_>>());
            read.push((firsts, batch.targets.clone()));
        }
        let expected = [
            (vec![3.0, 0.0], vec![0.0, 1.0]),
            (vec![4.0, 1.0], vec![1.0, 0.0]),
            (vec![2.0], vec![1.0]),
        ];
        assert_eq!(read, expected);
    }

    #[test]
    fn reading_ends_with_whoever_asked() {
        let (_folder, cache, clips) = corpus(3);
        let order = || of(&[&[0], &[1], &[2]]);
        // Before the first batch, after one, and while one is held.
        drop(Batches::new(Arc::clone(&cache), Arc::clone(&clips), order()));
        let mut batches = Batches::new(Arc::clone(&cache), Arc::clone(&clips), order());
        drop(batches.next_batch().unwrap());
        drop(batches);
        let mut batches = Batches::new(cache, clips, order());
        let held = batches.next_batch().unwrap().unwrap();
        drop(batches);
        assert_eq!(held.main[0], 0.0);
    }

    #[test]
    fn a_clip_that_the_cache_has_lost_is_named() {
        let (_folder, cache, clips) = corpus(2);
        cache.clear().unwrap();
        let mut batches = Batches::new(cache, clips, of(&[&[1], &[0]]));
        let error = batches.next_batch().unwrap_err().to_string();
        assert!(error.contains("1.wav"), "{error}");
        assert!(batches.next_batch().unwrap().is_none());
    }
}
