//! Which moods are learnt, and which of them each track has.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::manifest::Track;
use crate::error::{Error, Result};
use crate::spelling::nearest_first;

/// What to do about [`Labelled::new`]'s error where the moods can be chosen.
pub const CHOOSE: &str = "choose with --moods A,B or --moods all";

/// Existing tags that an error message offers instead of an unknown mood.
const SUGGESTIONS: usize = 20;

/// How the moods were asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum MoodChoice {
    /// The preset's list: a mood without tracks is only worth a warning.
    Preset(Vec<String>),
    /// Named by the user: a mood without tracks is a mistake.
    Named(Vec<String>),
    /// Every tag of the training manifest, sorted.
    All,
}

impl MoodChoice {
    /// Reads the value of `--moods`: `all`, or names separated by commas.
    ///
    /// # Errors
    /// A name is empty or given twice.
    pub fn parse(value: &str) -> Result<Self> {
        if value.trim() == "all" {
            return Ok(Self::All);
        }
        let mut moods: Vec<String> = Vec::new();
        for name in value.split(',').map(str::trim) {
            if name.is_empty() {
                return Err(Error::input(format!(
                    "--moods {value:?} has an empty name; write --moods happy,dark or --moods all"
                )));
            }
            if moods.iter().any(|mood| mood == name) {
                return Err(Error::input(format!("--moods names {name} twice")));
            }
            moods.push(name.to_owned());
        }
        Ok(Self::Named(moods))
    }

    /// The labels, in order, for a run whose training manifest holds `tracks`.
    ///
    /// # Errors
    /// A mood that the user named is no tag of any track (the message lists the tags that exist,
    /// nearest first); `All` without any tag.
    pub fn labels(&self, tracks: &[Track]) -> Result<Vec<String>> {
        let counts = tag_counts(tracks);
        match self {
            Self::Preset(moods) => Ok(moods.clone()),
            Self::Named(moods) => {
                match moods.iter().find(|mood| !counts.contains_key(mood.as_str())) {
                    Some(unknown) => Err(unknown_mood(unknown, &counts)),
                    None => Ok(moods.clone()),
                }
            }
            Self::All if counts.is_empty() => {
                Err(Error::input("--moods all: no track in the manifest has a tag"))
            }
            Self::All => Ok(counts.into_keys().map(str::to_owned).collect()),
        }
    }
}

/// A track that takes part.
#[derive(Clone, Debug, PartialEq)]
pub struct LabelledTrack {
    /// As the manifest has it.
    pub track: Track,
    /// One entry a label, in the order of the labels.
    pub targets: Vec<bool>,
}

/// The tracks of a manifest that have at least one of the labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// In the order of the manifest.
    pub tracks: Vec<LabelledTrack>,
    /// Tracks with none of the labels.
    pub left_out: usize,
    /// Sentences for the user: labels that no track has.
    pub warnings: Vec<String>,
}

impl Labelled {
    /// Marks `tracks` with `labels`. Other tags are ignored.
    ///
    /// # Errors
    /// No track has any of the labels; the message lists the tags that exist.
    pub fn new(tracks: Vec<Track>, labels: &[String]) -> Result<Self> {
        let listed = tracks.len();
        if !tracks.iter().any(|track| labels.iter().any(|label| track.tags.contains(label))) {
            return Err(no_label(&tracks, labels));
        }
        let tracks: Vec<LabelledTrack> = tracks
            .into_iter()
            .map(|track| {
                let targets = labels.iter().map(|label| track.tags.contains(label)).collect();
                LabelledTrack { track, targets }
            })
            .filter(|labelled| labelled.targets.contains(&true))
            .collect();
        let left_out = listed - tracks.len();
        let warnings = (0..labels.len())
            .filter(|&label| !tracks.iter().any(|track| track.targets[label]))
            .map(|label| format!("no track has the mood {}", labels[label]))
            .collect();
        Ok(Self { tracks, left_out, warnings })
    }

    /// Tracks that have each label, in the order of the labels.
    pub fn counts(&self) -> Vec<usize> {
        let labels = self.tracks.first().map_or(0, |track| track.targets.len());
        (0..labels)
            .map(|label| self.tracks.iter().filter(|track| track.targets[label]).count())
            .collect()
    }
}

/// How many tracks have each tag.
fn tag_counts(tracks: &[Track]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for tag in tracks.iter().flat_map(|track| &track.tags) {
        *counts.entry(tag.as_str()).or_default() += 1;
    }
    counts
}

fn unknown_mood(unknown: &str, counts: &BTreeMap<&str, usize>) -> Error {
    if counts.is_empty() {
        return Error::input(format!(
            "no track has the mood {unknown}: the manifest has no tags at all"
        ));
    }
    let tags = nearest_first(unknown, counts.keys().copied());
    Error::input(format!("no track has the mood {unknown}; there are {}", shortened(&tags)))
}

fn no_label(tracks: &[Track], labels: &[String]) -> Error {
    let counts = tag_counts(tracks);
    let mut tags: Vec<&str> = counts.keys().copied().collect();
    tags.sort_by_key(|tag| Reverse(counts[tag]));
    let moods = labels.join(", ");
    if tags.is_empty() {
        return Error::input(format!(
            "none of {} tracks has any of the moods {moods}: they have no tags at all",
            tracks.len()
        ));
    }
    Error::input(format!(
        "none of {} tracks has any of the moods {moods}; there are {}",
        tracks.len(),
        shortened(&tags)
    ))
}

fn shortened(tags: &[&str]) -> String {
    let shown = tags[..tags.len().min(SUGGESTIONS)].join(", ");
    match tags.len().saturating_sub(SUGGESTIONS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
