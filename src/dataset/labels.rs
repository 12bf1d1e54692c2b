//! Which moods are learnt, and which of them each track has. Tags that differ in case or blanks alone
//! are one mood.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

use super::manifest::Track;
use crate::error::{Error, Result};
use crate::model::preset::{MOST_MOODS, Output};
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
        let mut moods = Vec::new();
        let mut named = HashSet::new();
        for name in value.split(',').map(str::trim) {
            if name.is_empty() {
                return Err(Error::input(format!(
                    "--moods {value:?} has an empty name; write --moods happy,dark or --moods all"
                )));
            }
            if !named.insert(name) {
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
                let known: HashSet<String> = counts.keys().map(|tag| folded(tag)).collect();
                match moods.iter().find(|mood| !known.contains(&folded(mood))) {
                    Some(unknown) => Err(unknown_mood(unknown, &counts)),
                    None => Ok(moods.clone()),
                }
            }
            Self::All if counts.is_empty() => {
                Err(Error::input("--moods all: no track in the manifest has a tag"))
            }
            Self::All => {
                let mut usual: HashMap<String, (&str, usize)> = HashMap::new();
                for (&tag, &count) in &counts {
                    let spelling = usual.entry(folded(tag)).or_insert((tag, count));
                    // Of two, lower case comes last.
                    if count >= spelling.1 {
                        *spelling = (tag, count);
                    }
                }
                let mut labels: Vec<String> =
                    usual.into_values().map(|(tag, _)| tag.to_owned()).collect();
                labels.sort();
                Ok(labels)
            }
        }
    }
}

/// A track that takes part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelledTrack {
    /// As the manifest has it.
    pub track: Track,
    /// One entry a label, in the order of the labels.
    pub targets: Vec<bool>,
}

/// What becomes of tracks with none of the labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlabelled {
    /// They are left out: where the moods share a probability of 1, they say nothing.
    LeftOut,
    /// They are examples of no mood: where each mood has a probability of its own.
    Negatives,
}

impl From<Output> for Unlabelled {
    fn from(output: Output) -> Self {
        match output {
            Output::Softmax => Self::LeftOut,
            Output::Sigmoid => Self::Negatives,
        }
    }
}

/// The tracks of a manifest that take part.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// In the order of the manifest.
    pub tracks: Vec<LabelledTrack>,
    /// Tracks with none of the labels that take no part.
    pub left_out: usize,
    /// Tracks with none of the labels that do.
    pub negatives: usize,
    /// Sentences for the user: spellings that count as a label.
    pub notes: Vec<String>,
    /// A sentence for the user: labels that no track has.
    pub warning: Option<String>,
}

impl Labelled {
    /// Marks `tracks` with `labels`. Other tags are ignored.
    ///
    /// # Errors
    /// No track has any of the labels; the message lists the tags that exist. More labels than a model has.
    pub fn new(mut tracks: Vec<Track>, labels: &[String], unlabelled: Unlabelled) -> Result<Self> {
        if labels.len() > MOST_MOODS {
            let moods = labels.len();
            return Err(Error::input(format!(
                "{moods} moods are more than the {MOST_MOODS} of a model"
            )));
        }
        let listed = tracks.len();
        let notes = respell(&mut tracks, labels);
        check(&tracks, labels)?;
        let places: HashMap<&str, usize> = labels.iter().map(String::as_str).zip(0..).collect();
        let label = |track: Track| {
            let present: Vec<usize> =
                track.tags.iter().filter_map(|tag| places.get(tag.as_str()).copied()).collect();
            if present.is_empty() && unlabelled == Unlabelled::LeftOut {
                return None;
            }
            let mut targets = vec![false; labels.len()];
            present.into_iter().for_each(|label| targets[label] = true);
            Some(LabelledTrack { track, targets })
        };
        let tracks: Vec<LabelledTrack> = tracks.into_iter().filter_map(label).collect();
        let left_out = listed - tracks.len();
        let negatives = tracks.iter().filter(|track| !track.targets.contains(&true)).count();
        let warning = match &*in_none(labels, &tracks) {
            [] => None,
            [label] => Some(format!("no track has the mood {label}")),
            several => Some(format!(
                "no track has {} of the {} moods: {}",
                several.len(),
                labels.len(),
                shortened(several)
            )),
        };
        Ok(Self { tracks, left_out, negatives, notes, warning })
    }
}

/// A tag or a name without what makes no difference: case, how much blank there is, and whether an accented
/// letter is one character or two.
pub(super) fn folded(tag: &str) -> String {
    tag.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().nfc().collect()
}

/// Writes every tag that is one of `labels` but for case and blanks as that label, and says which those
/// are.
pub fn respell(tracks: &mut [Track], labels: &[String]) -> Vec<String> {
    let exact: HashSet<&str> = labels.iter().map(String::as_str).collect();
    let by_folded: HashMap<String, &String> =
        labels.iter().rev().map(|label| (folded(label), label)).collect();
    let mut met: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for track in tracks {
        let mut respelt = false;
        for tag in track.tags.iter_mut().filter(|tag| !exact.contains(tag.as_str())) {
            let Some(&label) = by_folded.get(&folded(tag)) else { continue };
            let spelling = std::mem::replace(tag, label.clone());
            met.entry(label).or_default().insert(spelling);
            respelt = true;
        }
        if respelt {
            let mut known = HashSet::new();
            track.tags.retain(|tag| known.insert(tag.clone()));
        }
    }
    let note = |(label, spellings): (&str, BTreeSet<String>)| {
        let spellings = Vec::from_iter(spellings);
        format!("{} and {label} are one mood", shortened(&spellings))
    };
    met.into_iter().map(note).collect()
}

/// What is said where the moods are all tags of the manifest called `name`.
pub fn all_tags(labels: &[String], name: &str) -> String {
    format!("moods: {} (all tags of {name})", shortened(labels))
}

/// Tracks that have each label, in the order of the labels.
pub fn counts(tracks: &[LabelledTrack]) -> Vec<usize> {
    let mut counts = vec![0; tracks.first().map_or(0, |track| track.targets.len())];
    for track in tracks {
        for (count, &has) in counts.iter_mut().zip(&track.targets) {
            *count += usize::from(has);
        }
    }
    counts
}

/// The labels that every one of `tracks` has, of which there is nothing to learn.
pub fn in_every<'a>(labels: &'a [String], tracks: &[LabelledTrack]) -> Vec<&'a str> {
    with_count(labels, tracks, tracks.len())
}

/// The labels that none of `tracks` has.
pub fn in_none<'a>(labels: &'a [String], tracks: &[LabelledTrack]) -> Vec<&'a str> {
    with_count(labels, tracks, 0)
}

fn with_count<'a>(labels: &'a [String], tracks: &[LabelledTrack], wanted: usize) -> Vec<&'a str> {
    let counted = labels.iter().zip(counts(tracks));
    counted.filter(|(_, count)| *count == wanted).map(|(label, _)| label.as_str()).collect()
}

/// Refuses labels that no track has.
///
/// # Errors
/// No track has any of the labels; the message lists the tags that exist.
pub fn check(tracks: &[Track], labels: &[String]) -> Result<()> {
    let known: HashSet<&str> = labels.iter().map(String::as_str).collect();
    let has_any = |track: &Track| track.tags.iter().any(|tag| known.contains(tag.as_str()));
    if tracks.iter().any(has_any) { Ok(()) } else { Err(no_label(tracks, labels)) }
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

/// The first of many names.
pub fn shortened<S: AsRef<str>>(tags: &[S]) -> String {
    let shown: Vec<&str> = tags.iter().take(SUGGESTIONS).map(S::as_ref).collect();
    let shown = shown.join(", ");
    match tags.len().saturating_sub(SUGGESTIONS) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
