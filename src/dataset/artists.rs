//! Who a track is by, where the manifest does not say: a model that has heard an artist recognises the
//! artist, so that a split that ignores them scores too high.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rayon::prelude::*;

use super::labels::{LabelledTrack, folded};
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
    /// Held back with their artists, this mood would be missing on one side. The artists are left out of
    /// account.
    OneSided(String),
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
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Artists> {
    read_credits(tracks.par_iter_mut().map(|track| &mut track.track), stop, progress)?;
    let mut artists: HashSet<String> = HashSet::new();
    let mut unknown = 0;
    for track in tracks.iter() {
        match &track.track.artist {
            Some(artist) => artists.extend(names(artist)),
            None => unknown += 1,
        }
    }
    match artists.len() {
        0 => Ok(Artists::Unknown),
        artists => Ok(Artists::Known { artists, unknown }),
    }
}

/// How many of each of the `others` are by artists of `tracks`. Artists that no manifest names are read out of
/// the files' tags, where these `have_tags`.
pub fn shared<const N: usize>(
    tracks: &[LabelledTrack],
    others: [&[LabelledTrack]; N],
    have_tags: bool,
) -> Result<[usize; N]> {
    let mut counts = [0; N];
    if others.iter().all(|others| others.is_empty()) {
        return Ok(counts);
    }
    let artists = |tracks: &[LabelledTrack]| -> Result<Vec<Vec<String>>> {
        let mut tracks: Vec<Track> = tracks.iter().map(|track| track.track.clone()).collect();
        if have_tags {
            read_credits(tracks.par_iter_mut(), &AtomicBool::new(false), &|_| {})?;
        }
        let named = tracks.into_iter().filter_map(|track| track.artist);
        Ok(named.map(|artist| names(&artist).collect()).collect())
    };
    let known: HashSet<String> = artists(tracks)?.into_iter().flatten().collect();
    for (count, others) in counts.iter_mut().zip(others) {
        let is_known = |of: &&Vec<String>| of.iter().any(|artist| known.contains(artist));
        *count = artists(others)?.iter().filter(is_known).count();
    }
    Ok(counts)
}

/// Those that are joined by semicolons, as of a duet, each without what makes no difference.
pub fn names(artist: &str) -> impl Iterator<Item = String> + '_ {
    artist.split(';').map(folded).filter(|name| !name.is_empty())
}

impl Artists {
    /// A sentence about the split for people; a warning where the score may be too high.
    pub fn note(&self) -> String {
        match self {
            Self::Known { artists, unknown: 0 } => format!("split by artist ({artists} artists)"),
            Self::Known { artists, unknown } => format!(
                "split by artist ({artists} artists; that of {unknown} tracks is unknown: the score \
                 may be too high)"
            ),
            Self::Unknown => "warning: artists unknown: the score may be too high (name them in a \
                              column `artist`, or in the files' tags)"
                .into(),
            Self::OneSided(mood) => format!(
                "warning: all tracks of the mood {mood} would be on one side of a split by artist, so it \
                 is by track: the score may be too high"
            ),
        }
    }
}
