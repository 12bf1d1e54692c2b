//! Files that hold the same bytes under several names.
//!
//! A model that has heard one of them has heard them all, so they count as one where tracks are held
//! back, and where a manifest gives the sides, a score on such tracks says little.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use blake3::Hash;
use rayon::prelude::*;

use super::cache::FeatureCache;
use super::labels::LabelledTrack;
use super::prepare::Prepared;
use super::split::same_track;
use crate::audio::format_of;
use crate::{Error, Result};

/// The hash of each track's file; `None` where it cannot be read or holds no audio, which is told when
/// it is needed: downloads that failed alike are no copies.
/// `progress` is told how many are done.
///
/// # Errors
/// [`Kind::Stopped`](crate::error::Kind::Stopped) soon after `stop` is set.
pub fn contents(
    tracks: &[LabelledTrack],
    cache: &FeatureCache,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Option<Hash>>> {
    let done = AtomicUsize::new(0);
    let read = |track: &LabelledTrack| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::stopped("stopped while the files were compared"));
        }
        let path = &track.track.path;
        let holds_audio = matches!(format_of(path), Ok(Some(_)));
        let hash = if holds_audio { cache.content_hash(path).ok() } else { None };
        progress(1 + done.fetch_add(1, Ordering::Relaxed));
        Ok(hash)
    };
    tracks.par_iter().map(read).collect()
}

/// How many clips have the content of one before them.
pub fn count<'a>(clips: impl IntoIterator<Item = &'a Prepared>) -> usize {
    let mut seen = HashSet::new();
    clips.into_iter().filter(|clip| !seen.insert(clip.content)).count()
}

/// The clips that have the content of one before them, and other moods than that; each with that one.
pub fn with_other_moods<'a>(
    clips: impl IntoIterator<Item = &'a Prepared>,
) -> Vec<(&'a LabelledTrack, &'a LabelledTrack)> {
    let mut first: HashMap<Hash, &LabelledTrack> = HashMap::new();
    let unlike = |clip: &'a Prepared| {
        let known = *first.entry(clip.content).or_insert(&clip.track);
        (known.targets != clip.track.targets).then_some((&clip.track, known))
    };
    clips.into_iter().filter_map(unlike).collect()
}

/// The clips of `other` that are copies of one in `train` under another name, each with that one.
pub fn across<'a>(
    train: &'a [Prepared],
    other: &'a [Prepared],
) -> Vec<(&'a LabelledTrack, &'a LabelledTrack)> {
    let mut heard: HashMap<Hash, &LabelledTrack> = HashMap::new();
    for clip in train {
        heard.entry(clip.content).or_insert(&clip.track);
    }
    let copy = |clip: &'a Prepared| Some((&clip.track, *heard.get(&clip.content)?));
    let another = |(one, other): &(&LabelledTrack, &LabelledTrack)| !same_track(one, other);
    other.iter().filter_map(copy).filter(another).collect()
}
