//! A library's files, heard by several ranks.
//!
//! Rank 0 hands files out in rounds, every rank hears every n-th of a round's, and rank 0 gets to know what
//! they say. So only rank 0 has an index, writes tags and prints, in the order of the list.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use super::files::{Amount, Told, on_this_rank};
use super::prediction::{Moods, Prediction, Span};
use super::tagger::Tagger;
use crate::files::{path_from_text, path_text};
use crate::ranks::Ranks;
use crate::{Error, Result};

/// Files of a rank in a round: as many as keep its cores busy while the last of them is heard, and few
/// enough that little is lost where a rank dies.
const ROUND: usize = 32;

/// What becomes of a rank's files in a round.
#[derive(Default, Serialize, Deserialize)]
struct Reply {
    /// By their places in the round.
    files: Vec<(usize, Answer)>,
    clips: usize,
    /// It was told to stop.
    stopped: bool,
    /// Its device has failed.
    failure: Option<Error>,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Heard(Sent),
    Failed(Error),
}

/// A [`Prediction`] as it crosses, with numbers as bits: JSON has none that are not finite.
#[derive(Serialize, Deserialize)]
struct Sent {
    duration: u64,
    padded: bool,
    truncated: bool,
    damaged: bool,
    silent: bool,
    embedding: Vec<u32>,
    moods: Vec<u32>,
    timeline: Vec<([u64; 2], Vec<u32>)>,
}

fn bits(numbers: &[f32]) -> Vec<u32> {
    numbers.iter().map(|number| number.to_bits()).collect()
}

fn numbers(bits: Vec<u32>) -> Vec<f32> {
    bits.into_iter().map(f32::from_bits).collect()
}

impl Sent {
    fn of(prediction: &Prediction) -> Self {
        let span = |span: &Span| {
            let times = [span.start, span.end].map(f64::to_bits);
            (times, bits(span.moods.probabilities()))
        };
        Self {
            duration: prediction.duration.to_bits(),
            padded: prediction.padded,
            truncated: prediction.truncated,
            damaged: prediction.damaged,
            silent: prediction.silent,
            embedding: bits(&prediction.embedding),
            moods: bits(prediction.moods.probabilities()),
            timeline: prediction.timeline.iter().map(span).collect(),
        }
    }

    fn received(self, tagger: &Tagger) -> Prediction {
        let moods = |bits| Moods::new(tagger.moods(), numbers(bits));
        let span = |(times, probabilities): ([u64; 2], Vec<u32>)| {
            let [start, end] = times.map(f64::from_bits);
            Span { start, end, moods: moods(probabilities) }
        };
        Prediction {
            duration: f64::from_bits(self.duration),
            padded: self.padded,
            truncated: self.truncated,
            damaged: self.damaged,
            silent: self.silent,
            embedding: numbers(self.embedding),
            moods: moods(self.moods),
            timeline: self.timeline.into_iter().map(span).collect(),
        }
    }
}

/// As [`predict_files`](super::predict_files), on rank 0 of several.
pub(super) fn predict(
    tagger: &mut Tagger,
    files: &[PathBuf],
    stop: &AtomicBool,
    tell: &mut dyn FnMut(Told) -> Result<()>,
) -> Result<Amount> {
    let ranks = Ranks::this();
    let mut amount = Amount::default();
    for (index, round) in files.chunks(ROUND * ranks.count()).enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        ranks.hand_out(Some(round.iter().map(|path| path_text(path)).collect::<Vec<_>>()))?;
        let mut all = Vec::new();
        let mut failure = None;
        for (rank, reply) in replies(tagger, round, stop)?.into_iter().enumerate() {
            all.extend(reply.files);
            amount.clips += reply.clips;
            if reply.stopped {
                stop.store(true, Ordering::Relaxed);
            }
            let failed = reply.failure.map(|error| error.context(format_args!("rank {rank}")));
            failure = failure.or(failed);
        }
        all.sort_unstable_by_key(|(place, _)| *place);
        for (place, answer) in all {
            let result = match answer {
                Answer::Failed(error) => Err(error),
                Answer::Heard(sent) => {
                    let prediction = sent.received(tagger);
                    amount.files += 1;
                    amount.seconds += prediction.duration;
                    Ok(prediction)
                }
            };
            tell(Told::File(index * ROUND * ranks.count() + place, result))?;
        }
        if let Some(failure) = failure {
            return Err(failure);
        }
        tell(Told::Batch)?;
    }
    Ok(amount)
}

/// Hears this rank's files of a round; what every rank says of its own, on rank 0 and the others.
fn replies(tagger: &mut Tagger, round: &[PathBuf], stop: &AtomicBool) -> Result<Vec<Reply>> {
    let ranks = Ranks::this();
    let own = ranks.own(round.len());
    let files: Vec<PathBuf> = own.iter().map(|&place| round[place].clone()).collect();
    let mut reply = Reply::default();
    let amount = on_this_rank(tagger, &files, stop, &mut |told| {
        if let Told::File(file, result) = told {
            let answer = match result {
                Ok(prediction) => Answer::Heard(Sent::of(&prediction)),
                Err(error) => Answer::Failed(error),
            };
            reply.files.push((own[file], answer));
        }
        Ok(())
    });
    match amount {
        Ok(amount) => reply.clips = amount.clips,
        Err(error) => reply.failure = Some(error),
    }
    reply.stopped = stop.load(Ordering::Relaxed);
    let unreadable = |error: serde_json::Error| Error::failure(format!("a rank's reply: {error}"));
    let sent = serde_json::to_vec(&reply).map_err(unreadable)?;
    let all = ranks.gather(&sent)?;
    all.iter().map(|bytes| serde_json::from_slice(bytes).map_err(unreadable)).collect()
}

/// Hears what rank 0 hands out, until [`dismiss`]: on every other rank.
///
/// # Errors
/// What rank 0 says cannot be read.
pub fn assist(tagger: &mut Tagger, stop: &AtomicBool) -> Result<()> {
    tagger.set_embedding(true);
    loop {
        let round: Vec<String> = Ranks::this().hand_out(None)?;
        if round.is_empty() {
            return Ok(());
        }
        let round: Vec<PathBuf> = round
            .iter()
            .map(|text| path_from_text(text))
            .map(|path| Path::to_owned(&path))
            .collect();
        replies(tagger, &round, stop)?;
    }
}

/// Tells the other ranks that there is nothing more to hear.
///
/// # Errors
/// They cannot be told.
pub fn dismiss() -> Result<()> {
    Ranks::this().hand_out(Some(Vec::<String>::new())).map(|_| ())
}
