//! `tracks.csv`: what a run is trained and judged on, in the order that the shuffle starts from.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use blake3::Hash;

use super::{Config, RunFolder};
use crate::dataset::cache::FeatureCache;
use crate::dataset::labels::LabelledTrack;
use crate::dataset::manifest::Track;
use crate::dataset::prepare::Prepared;
use crate::dataset::split::Split;
use crate::files::write_atomically;
use crate::{Error, Result};

const HEADER: [&str; 4] = ["part", "id", "path", "moods"];
const SEPARATOR: &str = "|";
const TRAINING: &str = "training";
const VALIDATION: &str = "validation";
const PARTS: [&str; 3] = [TRAINING, VALIDATION, "test"];

/// A track of one part: what a row says behind the part.
#[derive(Debug, PartialEq)]
struct Row {
    id: String,
    /// As the manifest has it.
    listed: String,
    /// Those that take part, in the order of the labels.
    moods: String,
}

impl Row {
    fn of(clip: &Prepared, labels: &[String]) -> Self {
        let track = &clip.track.track;
        let has = labels.iter().zip(&clip.track.targets).filter(|(_, target)| **target);
        let moods: Vec<&str> = has.map(|(label, _)| label.as_str()).collect();
        Self { id: track.id.clone(), listed: track.listed.clone(), moods: moods.join(SEPARATOR) }
    }

    /// Names the track within its part.
    fn key(&self) -> (&str, &str) {
        (&self.id, &self.listed)
    }
}

/// A part's name and its rows.
type Part = (&'static str, Vec<Row>);

/// `clips` are those of training, validation and test.
fn parts(labels: &[String], clips: [&[Prepared]; 3]) -> Vec<Part> {
    let rows = |clips: &[Prepared]| clips.iter().map(|clip| Row::of(clip, labels)).collect();
    PARTS.into_iter().zip(clips.map(rows)).collect()
}

/// Writes the tracks of training, validation and test whose audio can be used.
pub fn write_tracks(path: &Path, labels: &[String], clips: [&[Prepared]; 3]) -> Result<()> {
    let failed = |error: &dyn std::fmt::Display| {
        Error::failure(format!("cannot write {}: {error}", path.display()))
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(HEADER).map_err(|error| failed(&error))?;
    for (name, rows) in parts(labels, clips) {
        for row in rows {
            writer
                .write_record([name, &row.id, &row.listed, &row.moods])
                .map_err(|error| failed(&error))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    write_atomically(path, &bytes)
}

/// The rows of each part that [`write_tracks`] wrote.
fn read(path: &Path) -> Result<HashMap<String, Vec<Row>>> {
    let damaged = |what: &dyn std::fmt::Display| {
        Error::input(format!("{} is damaged: {what}; restore it", path.display()))
    };
    let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, &error))?;
    let mut reader = csv::Reader::from_reader(&*bytes);
    if reader.headers().map_err(|error| damaged(&error))? != HEADER.as_slice() {
        return Err(damaged(&format!("its header is not {}", HEADER.join(","))));
    }
    let mut parts: HashMap<String, Vec<Row>> = HashMap::new();
    for row in reader.deserialize() {
        let (part, id, listed, moods): (String, String, String, String) =
            row.map_err(|error| damaged(&error))?;
        if !PARTS.contains(&&*part) {
            return Err(damaged(&format!("there is no part {part}")));
        }
        parts.entry(part).or_default().push(Row { id, listed, moods });
    }
    Ok(parts)
}

/// The split of a run that [`write_tracks`] has written. A track that it does not know is trained on, unless
/// the run is `of_a_share` of the tracks.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn kept_split(path: &Path, tracks: Vec<LabelledTrack>, of_a_share: bool) -> Result<Split> {
    let parts = read(path)?;
    let keys = |part: &str| -> HashSet<(&str, &str)> {
        parts.get(part).into_iter().flatten().map(Row::key).collect()
    };
    let (training, validation) = (keys(TRAINING), keys(VALIDATION));
    let is_in = |part: &HashSet<(&str, &str)>, LabelledTrack { track, .. }: &LabelledTrack| {
        part.contains(&(track.id.as_str(), track.listed.as_str()))
    };
    let mut split = Split::by(tracks, |track| is_in(&validation, track));
    split.train.retain(|track| !of_a_share || is_in(&training, track));
    Ok(split)
}

/// Tracks that a run has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Had {
    /// Those that it was trained on.
    pub trained: usize,
    /// Those by which its epoch and its thresholds were chosen.
    pub chosen_by: usize,
}

/// How many of `tracks` the run that the checkpoint `model` lies in has had, whichever way a manifest names
/// them, and copies of them; none where it lies beside no list.
///
/// # Errors
/// The list cannot be read, or is damaged.
pub fn had(model: &Path, tracks: &[&Track]) -> Result<Had> {
    let folder = RunFolder::at(model.parent().unwrap_or(Path::new("")));
    if !folder.tracks().is_file() {
        return Ok(Had::default());
    }
    let parts = read(&folder.tracks())?;
    let root = Config::read(&folder.config()).ok().and_then(|config| config.data.root());
    let cache = FeatureCache::open(None).ok();
    let content = |path: &Path| cache.as_ref()?.content_hash(path).ok();
    let size = |path: &Path| path.metadata().ok().map(|file| file.len());
    let sizes: HashSet<u64> = tracks.iter().filter_map(|track| size(&track.path)).collect();
    let of = |part: &str| {
        // By what they hold; by their names where the files of the run are not there any more.
        let (mut names, mut places) = (HashSet::new(), HashSet::new());
        for row in parts.get(part).into_iter().flatten() {
            match root.as_ref().and_then(|root| root.join(&row.listed).canonicalize().ok()) {
                Some(place) => drop(places.insert(place)),
                None => drop(names.insert(row.key())),
            }
        }
        let alike = places.iter().filter(|place| size(place).is_some_and(|n| sizes.contains(&n)));
        let contents: HashSet<Hash> = alike.filter_map(|place| content(place)).collect();
        let is_copy = |path: &Path| {
            !contents.is_empty() && content(path).is_some_and(|content| contents.contains(&content))
        };
        let known = |track: &&&Track| {
            names.contains(&(track.id.as_str(), track.listed.as_str()))
                || track.path.canonicalize().is_ok_and(|path| places.contains(&path))
                || is_copy(&track.path)
        };
        tracks.iter().filter(known).count()
    };
    Ok(Had { trained: of(TRAINING), chosen_by: of(VALIDATION) })
}

/// For each part whose tracks are not those that [`write_tracks`] wrote, how they differ; empty if all are
/// the same in the same order.
///
/// # Errors
/// The file cannot be read, or is damaged.
pub fn track_changes(
    path: &Path,
    labels: &[String],
    clips: [&[Prepared]; 3],
) -> Result<Vec<String>> {
    let mut then = read(path)?;
    let now = parts(labels, clips);
    let of_part = |(name, now): &Part| {
        let then = then.remove(*name).unwrap_or_default();
        difference(&then, now).map(|difference| format!("{name}: {difference}"))
    };
    Ok(now.iter().filter_map(of_part).collect())
}

fn by_key(rows: &[Row]) -> HashMap<(&str, &str), &Row> {
    rows.iter().map(|row| (row.key(), row)).collect()
}

/// How many tracks are gone, new, relabelled or at another place among those that are in both lists,
/// and the first of each; `None` if the lists are the same.
fn difference(then: &[Row], now: &[Row]) -> Option<String> {
    let (old, new) = (by_key(then), by_key(now));
    let gone: Vec<&Row> = then.iter().filter(|row| !new.contains_key(&row.key())).collect();
    let added: Vec<&Row> = now.iter().filter(|row| !old.contains_key(&row.key())).collect();
    let in_both = then.iter().filter(|row| new.contains_key(&row.key()));
    let still = now.iter().filter(|row| old.contains_key(&row.key()));
    let moved: Vec<&Row> =
        in_both.zip(still).filter(|(a, b)| a.key() != b.key()).map(|(row, _)| row).collect();
    let relabelled: Vec<(&Row, &Row)> = now
        .iter()
        .filter_map(|row| Some((*old.get(&row.key())?, row)))
        .filter(|(old, new)| old.moods != new.moods)
        .collect();
    let mut kinds = Vec::new();
    let tracks = [("gone", gone), ("new", added), ("in another order", moved)];
    for (kind, rows) in tracks {
        if let Some(first) = rows.first() {
            kinds.push(format!("{} {kind} (the first: {})", rows.len(), first.listed));
        }
    }
    if let Some((old, new)) = relabelled.first() {
        kinds.push(format!(
            "{} relabelled (the first: {}, {} then, {} now)",
            relabelled.len(),
            new.listed,
            old.moods,
            new.moods
        ));
    }
    (!kinds.is_empty()).then(|| kinds.join(", "))
}
