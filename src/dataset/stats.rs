//! What a manifest holds, counted without opening any audio.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use super::labels::{folded, shortened};
use super::manifest::Track;

/// Moods whose pairs are counted: a matrix of 10 000 tags would take a gigabyte.
pub const PAIRED: usize = 1000;

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
    /// Tracks whose artist is unknown.
    pub unknown_artists: usize,
    /// Distinct albums, where the manifests name them.
    pub albums: Option<usize>,
    /// Sum of the durations that the manifest states, in hours; `None` where it states none.
    pub hours: Option<f64>,
    /// Tracks whose audio file is not there.
    pub missing: usize,
    /// Tracks with each mood, in the order of the moods.
    pub counts: Vec<usize>,
    /// Places of the moods whose pairs are counted: of all, or of the [`PAIRED`] most frequent.
    pub paired: Vec<usize>,
    /// `together[a][b]`: tracks with both the moods `paired[a]` and `paired[b]`.
    pub together: Vec<Vec<usize>>,
}

/// Tracks of a mood from which on it can be learnt with some certainty.
const ENOUGH: usize = 30;
/// How many times as frequent a mood may be as another before the rarer one drowns.
const BALANCED: usize = 5;
/// Tracks of which it says something that two moods always meet.
const TELLING: usize = 5;

impl Stats {
    /// Whether the labels suffice: sentences for people, worst first; none where all is well.
    pub fn advice(&self, moods: &[String]) -> Vec<String> {
        let mut advice = Vec::new();
        let named = |places: &[usize]| {
            let names: Vec<&str> = places.iter().map(|&mood| moods[mood].as_str()).collect();
            shortened(&names)
        };
        let present: Vec<usize> = (0..moods.len()).filter(|&mood| self.counts[mood] > 0).collect();
        let few: Vec<usize> =
            present.iter().copied().filter(|&mood| self.counts[mood] < ENOUGH).collect();
        if !few.is_empty() {
            advice.push(format!(
                "moods with fewer than {ENOUGH} tracks are too few to be learnt or judged with any certainty: {}",
                named(&few)
            ));
        }
        let most = present.iter().copied().max_by_key(|&mood| self.counts[mood]);
        let least = present.iter().copied().min_by_key(|&mood| self.counts[mood]);
        if let (Some(most), Some(least)) = (most, least)
            && self.counts[most] >= BALANCED * self.counts[least]
        {
            advice.push(format!(
                "{} has {} tracks and {} {}: --set train.class_weights=balanced lets the rare ones count \
                 as much",
                moods[most], self.counts[most], moods[least], self.counts[least]
            ));
        }
        for (a, row) in self.together.iter().enumerate() {
            let count = row[a];
            let always =
                |&b: &usize| b != a && row[b] == count && (b > a || self.together[b][b] > count);
            let with: Vec<usize> = (0..row.len()).filter(always).map(|b| self.paired[b]).collect();
            if count >= TELLING && !with.is_empty() {
                advice.push(format!(
                    "every track that is {} is {} as well: the two cannot be told apart there",
                    moods[self.paired[a]],
                    named(&with)
                ));
            }
        }
        let everywhere: Vec<usize> =
            present.iter().copied().filter(|&mood| self.counts[mood] == self.tracks).collect();
        if !everywhere.is_empty() && self.other_tags + self.untagged == 0 {
            advice.push(format!(
                "every track is {}: there is nothing to learn without tracks that are not",
                named(&everywhere)
            ));
        }
        if self.artists.is_some() && self.unknown_artists > 0 {
            advice.push(format!(
                "of {} tracks the artist is unknown: the score may be too high",
                self.unknown_artists
            ));
        }
        if self.artists.is_none() && self.tracks > 0 {
            advice.push(
                "no artist is known: a score may be too high, since a model knows again whom it has heard"
                    .to_owned(),
            );
        }
        advice
    }

    /// Counts `tracks` by `moods`.
    pub fn new(tracks: &[Track], moods: &[String]) -> Self {
        let mut stats = Self {
            listed: tracks.len(),
            tracks: 0,
            other_tags: 0,
            untagged: 0,
            artists: None,
            unknown_artists: 0,
            albums: None,
            hours: None,
            missing: 0,
            counts: vec![0; moods.len()],
            paired: Vec::new(),
            together: Vec::new(),
        };
        let places: HashMap<&str, usize> = moods.iter().map(String::as_str).zip(0..).collect();
        let present = |track: &Track| -> Vec<usize> {
            track.tags.iter().filter_map(|tag| places.get(tag.as_str()).copied()).collect()
        };
        let (mut artists, mut albums) = (HashSet::new(), HashSet::new());
        let mut seconds = None;
        for track in tracks {
            let present = present(track);
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
            stats.unknown_artists += usize::from(track.artist.is_none());
            artists.extend(track.artist.as_deref().map(folded));
            albums.extend(&track.album);
            if let Some(duration) = track.duration {
                *seconds.get_or_insert(0.0) += duration;
            }
            present.into_iter().for_each(|mood| stats.counts[mood] += 1);
        }
        stats.paired = (0..moods.len()).collect();
        stats.paired.sort_by_key(|&mood| Reverse(stats.counts[mood]));
        stats.paired.truncate(PAIRED);
        stats.paired.sort_unstable();
        let rows: HashMap<usize, usize> = stats.paired.iter().copied().zip(0..).collect();
        stats.together = vec![vec![0; rows.len()]; rows.len()];
        for track in tracks {
            let rows: Vec<usize> =
                present(track).iter().filter_map(|mood| rows.get(mood).copied()).collect();
            for &a in &rows {
                for &b in &rows {
                    stats.together[a][b] += 1;
                }
            }
        }
        let known = |names: usize| (names > 0).then_some(names);
        stats.artists = known(artists.len());
        stats.albums = known(albums.len());
        stats.hours = seconds.map(|seconds| seconds / 3600.0);
        stats
    }
}
