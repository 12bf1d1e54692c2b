//! Predicting a music library: threads decode while the device computes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use super::prediction::{Heard, Prediction};
use super::shared;
use super::tagger::Tagger;
use crate::Result;
use crate::audio::{AudioFile, Cut, is_silent};
use crate::ranks::Ranks;

/// Clips that wait for the device, in batches: enough that it need not wait itself, few enough that
/// they fit in tens of megabytes.
const WAITING: usize = 2;

/// What is told while files are predicted.
#[derive(Debug)]
pub enum Told {
    /// What the model says of a file, by its place in the list: as soon as it is complete, whatever has
    /// become of those before it.
    File(usize, Result<Prediction>),
    /// The device begins with the next batch, which may take a while: the moment to keep what was told.
    Batch,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Files that were predicted.
    pub files: usize,
    /// Clips that the device saw.
    pub clips: usize,
    /// Of audio in the predicted files.
    pub seconds: f64,
}

/// What a decoding thread hands over. The clips of a file come in order, then its end.
enum Decoded {
    Clip { file: usize, place: usize, samples: Vec<f32> },
    End { file: usize, result: Result<About> },
}

/// What only the decoder knows of a file.
struct About {
    duration: f64,
    truncated: bool,
    damaged: bool,
    silent: bool,
}

/// A file that is not done yet.
#[derive(Default)]
struct Open {
    /// Each clip's place in the file, and what the model says of it.
    clips: Vec<(usize, Heard)>,
    /// Clips that are not predicted yet.
    awaited: usize,
    end: Option<Result<About>>,
}

/// Predicts `files` and tells each result; on rank 0 of several, with the others'
/// help ([`assist`](super::assist)). A file that cannot be used does not stop the
/// rest. Once `stop` is set, no more is decoded, and the files that are not complete are left out.
///
/// # Errors
/// The device fails, or `tell` returns an error.
pub fn predict_files(
    tagger: &mut Tagger,
    files: &[PathBuf],
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Told) -> Result<()>,
) -> Result<Amount> {
    match Ranks::this().has_others() {
        true => shared::predict(tagger, files, stop, tell),
        false => on_this_rank(tagger, files, stop, tell),
    }
}

/// As [`predict_files`], all by this process.
pub(super) fn on_this_rank(
    tagger: &mut Tagger,
    files: &[PathBuf],
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Told) -> Result<()>,
) -> Result<Amount> {
    let hearing =
        Hearing { sample_rate: tagger.sample_rate(), cut: tagger.cut(), windows: tagger.windows() };
    let threads = rayon::current_num_threads().min(files.len());
    let next = AtomicUsize::new(0);
    let mut gathering = Gathering::new(tagger, tell);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(WAITING * gathering.tagger.batch());
        for _ in 0..threads {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                while let file = next.fetch_add(1, Ordering::Relaxed)
                    && let Some(path) = files.get(file)
                {
                    let result = match decode(path, file, hearing, stop, &sender) {
                        Ok(None) => return,
                        Ok(Some(about)) => Ok(about),
                        Err(error) => Err(error),
                    };
                    if sender.send(Decoded::End { file, result }).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        receiver.into_iter().try_for_each(|decoded| gathering.take(decoded))?;
        gathering.predict()?;
        Ok(gathering.amount)
    })
}

/// What is heard of a file.
#[derive(Clone, Copy)]
struct Hearing {
    sample_rate: u32,
    cut: Cut,
    windows: Option<usize>,
}

/// Sends the clips of a file; `None` where nobody wants them any more.
fn decode(
    path: &Path,
    file: usize,
    hearing: Hearing,
    stop: &AtomicBool,
    sender: &SyncSender<Decoded>,
) -> Result<Option<About>> {
    let mut audio = AudioFile::open(path, hearing.sample_rate)?;
    let duration = audio.seconds();
    let mut about = About { duration, truncated: false, damaged: false, silent: true };
    for clip in audio.clips(hearing.cut, hearing.windows)? {
        let (place, clip) = clip?;
        about.truncated |= clip.truncated;
        about.damaged |= clip.damaged;
        about.silent &= is_silent(&clip.samples);
        let clip = Decoded::Clip { file, place, samples: clip.samples };
        if stop.load(Ordering::Relaxed) || sender.send(clip).is_err() {
            return Ok(None);
        }
    }
    Ok(Some(about))
}

/// Collects clips into batches, and what becomes of them into files.
struct Gathering<'a> {
    tagger: &'a mut Tagger,
    tell: &'a mut dyn FnMut(Told) -> Result<()>,
    /// File, place in it, samples.
    batch: Vec<(usize, usize, Vec<f32>)>,
    open: HashMap<usize, Open>,
    amount: Amount,
}

impl<'a> Gathering<'a> {
    fn new(tagger: &'a mut Tagger, tell: &'a mut dyn FnMut(Told) -> Result<()>) -> Self {
        Self { tagger, tell, batch: Vec::new(), open: HashMap::new(), amount: Amount::default() }
    }

    fn take(&mut self, decoded: Decoded) -> Result<()> {
        match decoded {
            Decoded::Clip { file, place, samples } => {
                self.open.entry(file).or_default().awaited += 1;
                self.batch.push((file, place, samples));
                match self.batch.len() == self.tagger.batch() {
                    true => self.predict(),
                    false => Ok(()),
                }
            }
            Decoded::End { file, result } => {
                self.open.entry(file).or_default().end = Some(result);
                self.close(file)
            }
        }
    }

    fn predict(&mut self) -> Result<()> {
        (self.tell)(Told::Batch)?;
        let clips: Vec<&[f32]> = self.batch.iter().map(|(_, _, samples)| &**samples).collect();
        let predicted = self.tagger.predict_clips(&clips)?;
        self.amount.clips += clips.len();
        let batch = std::mem::take(&mut self.batch);
        for ((file, place, _), heard) in batch.into_iter().zip(predicted) {
            let open = self.open.entry(file).or_default();
            open.clips.push((place, heard));
            open.awaited -= 1;
            self.close(file)?;
        }
        Ok(())
    }

    /// Tells of a file if all of it is there.
    fn close(&mut self, file: usize) -> Result<()> {
        if !self.open.get(&file).is_some_and(|open| open.awaited == 0 && open.end.is_some()) {
            return Ok(());
        }
        let Some(Open { clips, end: Some(end), .. }) = self.open.remove(&file) else {
            return Ok(());
        };
        let prediction = end.map(|about| {
            let About { duration, truncated, damaged, silent } = about;
            let seconds = self.tagger.clip_seconds();
            let of = Prediction::of_clips(self.tagger.moods(), clips, seconds, duration);
            self.amount.files += 1;
            self.amount.seconds += duration;
            Prediction { truncated, damaged, silent, ..of }
        });
        (self.tell)(Told::File(file, prediction))
    }
}
