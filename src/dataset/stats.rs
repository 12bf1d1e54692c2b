//! What a manifest holds, counted without opening any audio.

use std::collections::HashSet;

use super::manifest::Track;

/// Counts over the tracks of one manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Rows of the manifest.
    pub listed: usize,
    /// Tracks with at least one of the moods; all that follows is about these.
    pub tracks: usize,
    /// Left out: tagged, but with none of the moods.
    pub other_tags: usize,
    /// Left out: without any tag.
    pub untagged: usize,
    /// `None` where the manifest names none.
    pub artists: Option<usize>,
    /// Distinct albums, where the manifests name them.
    pub albums: Option<usize>,
    /// Sum of the durations that the manifest states, in hours; `None` where it states none.
    pub hours: Option<f64>,
    /// Tracks whose audio file is not there.
    pub missing: usize,
    /// `together[a][b]`: tracks with both moods, `together[a][a]`: with mood a.
    pub together: Vec<Vec<usize>>,
}

impl Stats {
    /// Counts `tracks` by `moods`.
    pub fn new(tracks: &[Track], moods: &[String]) -> Self {
        let mut stats = Self {
            listed: tracks.len(),
            tracks: 0,
            other_tags: 0,
            untagged: 0,
            artists: None,
            albums: None,
            hours: None,
            missing: 0,
            together: vec![vec![0; moods.len()]; moods.len()],
        };
        let (mut artists, mut albums) = (HashSet::new(), HashSet::new());
        let mut seconds = None;
        for track in tracks {
            let present: Vec<usize> =
                (0..moods.len()).filter(|&mood| track.tags.contains(&moods[mood])).collect();
            match (present.is_empty(), track.tags.is_empty()) {
                (true, true) => stats.untagged += 1,
                (true, false) => stats.other_tags += 1,
                (false, _) => {}
            }
            if present.is_empty() {
                continue;
            }
            stats.tracks += 1;
            stats.missing += usize::from(!track.path.is_file());
            artists.extend(&track.artist);
            albums.extend(&track.album);
            if let Some(duration) = track.duration {
                *seconds.get_or_insert(0.0) += duration;
            }
            for &a in &present {
                for &b in &present {
                    stats.together[a][b] += 1;
                }
            }
        }
        let known = |names: HashSet<&String>| (!names.is_empty()).then_some(names.len());
        stats.artists = known(artists);
        stats.albums = known(albums);
        stats.hours = seconds.map(|seconds| seconds / 3600.0);
        stats
    }

    /// Tracks with each mood, in the order of the moods.
    pub fn counts(&self) -> impl Iterator<Item = usize> + '_ {
        self.together.iter().enumerate().map(|(mood, row)| row[mood])
    }
}
