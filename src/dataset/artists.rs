//! Who a track is by, where the manifest does not say: a model that has heard an artist recognises the
//! artist, so that a split that ignores them scores too high.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::labels::LabelledTrack;
use super::manifest::Track;
use crate::audio::credits;
use crate::error::{Error, Result};

/// What is known of the artists of tracks that are split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Artists {
    /// So many are told apart; of so many tracks the artist is unknown.
    Known {
        /// Distinct artists.
        artists: usize,
        /// Tracks without one.
        unknown: usize,
    },
    /// None is known.
    Unknown,
    /// All tracks of this mood are by one artist, as their files say: held back with the artist, there
    /// would be none to learn from. The artists are left out of account.
    OneOf(String),
}

/// Reads the artists and albums of `tracks` out of their files' tags, where the manifest names none. Calls
/// `progress` with the number of tracks that are done.
///
/// # Errors
/// `stop` was set.
pub fn read_credits<'a>(
    tracks: impl IntoParallelIterator<Item = &'a mut Track>,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<()> {
    let done = AtomicUsize::new(0);
    tracks.into_par_iter().try_for_each(|track| {
        if stop.load(Ordering::Relaxed) {
            return Err(Error::stopped("stopped while artists were read"));
        }
        if track.artist.is_none() {
            let found = credits(&track.path);
            track.artist = found.artist;
            track.album = track.album.take().or(found.album);
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(())
    })
}

/// Completes the artists of `tracks` from their files, so that they can be split.
///
/// # Errors
/// As [`read_credits`].
pub fn complete(
    tracks: &mut [LabelledTrack],
    labels: &[String],
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Artists> {
    let stated = tracks.iter().any(|track| track.track.artist.is_some());
    read_credits(tracks.par_iter_mut().map(|track| &mut track.track), stop, progress)?;
    if let Some(mood) = labels.iter().enumerate().find_map(|(label, mood)| {
        let by: Vec<_> = tracks.iter().filter(|track| track.targets[label]).collect();
        let artists: HashSet<_> = by.iter().map(|track| &track.track.artist).collect();
        let one = by.len() > 1 && artists.len() == 1 && !artists.contains(&None);
        (one && !stated).then_some(mood)
    }) {
        tracks.iter_mut().for_each(|track| track.track.artist = None);
        return Ok(Artists::OneOf(mood.clone()));
    }
    let mut artists: HashMap<&str, usize> = HashMap::new();
    let mut unknown = 0;
    for track in tracks.iter() {
        match &track.track.artist {
            Some(artist) => *artists.entry(artist).or_default() += 1,
            None => unknown += 1,
        }
    }
    match artists.len() {
        0 => Ok(Artists::Unknown),
        artists => Ok(Artists::Known { artists, unknown }),
    }
}

impl Artists {
    /// A sentence about the split for people; a warning where the score may be too high.
    pub fn note(&self) -> String {
        match self {
            Self::Known { artists: 1, unknown: 0 } => {
                "split by track: all are by one artist".into()
            }
            Self::Known { artists, unknown: 0 } => format!("split by artist ({artists} artists)"),
            Self::Known { artists, unknown } => format!(
                "split by artist ({artists} artists; that of {unknown} tracks is unknown: the score \
                 may be too high)"
            ),
            Self::Unknown => "warning: artists unknown: the score may be too high (name them in a \
                              column `artist`, or in the files' tags)"
                .into(),
            Self::OneOf(mood) => format!(
                "warning: all tracks of the mood {mood} are by one artist, so the split is by track: \
                 the score may be too high"
            ),
        }
    }
}
