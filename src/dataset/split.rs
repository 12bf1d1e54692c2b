//! Holding tracks back for validation.
//!
//! A model that has heard an artist recognises the artist, so all tracks of one artist go to the
//! same side, and so do files with the same bytes. Within that bound each mood gets its share of the
//! validation tracks. The result depends on the tracks and the seed, not on the order in which they
//! are listed.

use std::collections::{BTreeMap, HashMap, HashSet};

use blake3::Hash;

use super::artists;
use super::labels::{LabelledTrack, counts};
use crate::error::{Error, Result};

/// Share of the tracks that is held back.
pub const VALIDATION_FRACTION: f64 = 0.2;

/// Rounds of moving single groups to the other side; a handful suffices.
const MAX_ROUNDS: usize = 50;

/// Cost of a mood that is missing on one side, where it could be measured on neither: far above
/// what any deviation from the fraction costs.
const ABSENT: f64 = 1e6;

/// Two sets of tracks, each in the order of the manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Split {
    /// To be trained on.
    pub train: Vec<LabelledTrack>,
    /// Held back.
    pub validation: Vec<LabelledTrack>,
}

impl Split {
    /// Holds about [`VALIDATION_FRACTION`] of `tracks` back: whole artists where artists are known,
    /// single tracks where not, with about the same share of every mood. `contents` are the hashes of
    /// the tracks' files, where they are known: artists and tracks that share a copy count as one.
    ///
    /// # Errors
    /// There is only one artist, or only one track, and copies of it.
    pub fn by_artist(
        tracks: Vec<LabelledTrack>,
        contents: &[Option<Hash>],
        seed: u64,
    ) -> Result<Self> {
        let mut groups = groups(&tracks, contents);
        if groups.len() < 2 {
            return Err(Error::input(format!(
                "{} cannot be split so that no artist and no copy is on both sides; name other \
                 tracks with --validation",
                match tracks.len() {
                    1 => "a single track",
                    _ => "tracks of a single artist, or copies of one another,",
                }
            )));
        }
        groups.sort_by_cached_key(|(artist, _)| draw(seed, artist));

        let counts: Vec<Vec<f64>> =
            groups.iter().map(|(_, indices)| count(&tracks, indices)).collect();
        let held_back = choose(&counts);
        let validation: HashSet<usize> = groups
            .into_iter()
            .zip(held_back)
            .filter(|(_, held_back)| *held_back)
            .flat_map(|((_, indices), _)| indices)
            .collect();
        let mut place = 0..;
        Ok(Self::by(tracks, |_| place.next().is_some_and(|place| validation.contains(&place))))
    }

    /// Holds back the tracks that `held_back` is true of; it is asked once for each, in order.
    pub fn by(tracks: Vec<LabelledTrack>, held_back: impl FnMut(&LabelledTrack) -> bool) -> Self {
        let (validation, train) = tracks.into_iter().partition(held_back);
        Self { train, validation }
    }
}

/// An artist, or a track whose artist is unknown, by name.
type Name = (bool, String);

/// Indices of the tracks that have to be on the same side, by the first of their names.
fn groups(tracks: &[LabelledTrack], contents: &[Option<Hash>]) -> Vec<(Name, Vec<usize>)> {
    let mut members: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    for (index, LabelledTrack { track, .. }) in tracks.iter().enumerate() {
        let name = track.artist.as_ref().unwrap_or(&track.id);
        members.entry((track.artist.is_some(), name.clone())).or_default().push(index);
    }
    let (names, members): (Vec<Name>, Vec<Vec<usize>>) = members.into_iter().unzip();
    // What a copy joins to another group leads there, to one before it.
    let mut leads: Vec<usize> = (0..names.len()).collect();
    let first = |leads: &[usize], mut group: usize| {
        while leads[group] != group {
            group = leads[group];
        }
        group
    };
    let join = |leads: &mut [usize], holder, group| {
        let (one, other) = (first(leads, holder), first(leads, group));
        leads[one.max(other)] = one.min(other);
    };
    // An artist may be written in several ways, and play with others.
    let mut spelled: HashMap<String, usize> = HashMap::new();
    for (group, (_, name)) in names.iter().enumerate().filter(|(_, (is_artist, _))| *is_artist) {
        for artist in artists::names(name) {
            join(&mut leads, *spelled.entry(artist).or_insert(group), group);
        }
    }
    let mut holders: HashMap<Hash, usize> = HashMap::new();
    for (group, indices) in members.iter().enumerate() {
        for hash in indices.iter().filter_map(|&index| *contents.get(index)?) {
            join(&mut leads, *holders.entry(hash).or_insert(group), group);
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (group, indices) in members.into_iter().enumerate() {
        groups.entry(first(&leads, group)).or_default().extend(indices);
    }
    groups.into_iter().map(|(group, indices)| (names[group].clone(), indices)).collect()
}

/// A place in the shuffled order that depends on the seed and the group alone.
fn draw(seed: u64, (is_artist, name): &Name) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&[u8::from(*is_artist)]).update(name.as_bytes());
    *hasher.finalize().as_bytes()
}

/// What a group weighs: its tracks, then its tracks of each mood.
fn count(tracks: &[LabelledTrack], indices: &[usize]) -> Vec<f64> {
    let moods = tracks.first().map_or(0, |track| track.targets.len());
    let mut counts = vec![0.0; 1 + moods];
    for &index in indices {
        counts[0] += 1.0;
        for (sum, &has) in counts[1..].iter_mut().zip(&tracks[index].targets) {
            *sum += f64::from(u8::from(has));
        }
    }
    counts
}

/// Which groups are held back. A first pass keeps every mood's share right among the groups seen so
/// far, then single groups change sides as long as that brings the shares nearer to the fraction.
fn choose(counts: &[Vec<f64>]) -> Vec<bool> {
    let columns = counts.first().map_or(0, Vec::len);
    let mut seen = vec![0.0; columns];
    let mut held = vec![0.0; columns];
    let mut held_back = vec![false; counts.len()];
    let total = (0..columns).map(|c| counts.iter().map(|group| group[c]).sum()).collect::<Vec<_>>();
    let groups_with: Vec<usize> =
        (0..columns).map(|c| counts.iter().filter(|group| group[c] > 0.0).count()).collect();

    let deviation = |held: &[f64], of: &[f64]| -> f64 {
        let shares = held.iter().zip(of).zip(&total).filter(|(_, total)| **total > 0.0);
        shares.map(|((held, of), total)| (held - VALIDATION_FRACTION * of).powi(2) / total).sum()
    };
    let cost = |held: &[f64]| -> f64 {
        let one_sided = (0..columns)
            .filter(|&c| groups_with[c] >= 2 && (held[c] == 0.0 || held[c] == total[c]))
            .count();
        deviation(held, &total) + ABSENT * one_sided as f64
    };

    for (group, choice) in counts.iter().zip(&mut held_back) {
        add(&mut seen, group);
        let mut with = held.clone();
        add(&mut with, group);
        if deviation(&with, &seen) < deviation(&held, &seen) {
            (held, *choice) = (with, true);
        }
    }
    let mut best = cost(&held);
    for _ in 0..MAX_ROUNDS {
        let before = best;
        for (group, choice) in counts.iter().zip(&mut held_back) {
            let sign = if *choice { -1.0 } else { 1.0 };
            let moved: Vec<f64> = held.iter().zip(group).map(|(h, g)| h + sign * g).collect();
            let moved_cost = cost(&moved);
            if moved_cost < best {
                (held, best, *choice) = (moved, moved_cost, !*choice);
            }
        }
        if best == before {
            break;
        }
    }
    held_back
}

fn add(sum: &mut [f64], group: &[f64]) {
    sum.iter_mut().zip(group).for_each(|(sum, value)| *sum += value);
}

/// The first mood that two or more tracks have and that one side lacks.
pub fn one_sided<'a>(split: &Split, labels: &'a [String]) -> Option<&'a str> {
    let (train, validation) = (counts(&split.train), counts(&split.validation));
    let count = |side: &[usize], label: usize| side.get(label).copied().unwrap_or(0);
    (0..labels.len())
        .find(|&label| {
            let (here, there) = (count(&train, label), count(&validation, label));
            here + there > 1 && (here == 0 || there == 0)
        })
        .map(|label| labels[label].as_str())
}

/// A share of the tracks, one at least, with about the same share of those that have the same moods. A smaller share
/// is part of a larger one.
pub fn share_of(tracks: Vec<LabelledTrack>, share: f64) -> Vec<LabelledTrack> {
    let mut alike: BTreeMap<&[bool], Vec<usize>> = BTreeMap::new();
    for (index, track) in tracks.iter().enumerate() {
        alike.entry(&track.targets).or_default().push(index);
    }
    // The share from which on each track belongs to it. Among those that have the same moods they lie evenly,
    // from a drawn beginning on: of moods that one track has, it may begin anywhere.
    let mut begins = vec![0.0; tracks.len()];
    for indices in alike.values_mut() {
        indices.sort_by_cached_key(|&index| draw(0, &(false, tracks[index].track.id.clone())));
        let drawn = draw(1, &(false, tracks[indices[0]].track.id.clone()));
        let drawn = u32::from_le_bytes(*drawn.first_chunk().expect("four bytes"));
        let first = f64::from(drawn) / (1u64 << 32) as f64;
        for (place, &index) in indices.iter().enumerate() {
            begins[index] = (place as f64 + first) / indices.len() as f64;
        }
    }
    let share = begins.iter().copied().fold(1.0, f64::min).max(share);
    let mut begins = begins.into_iter();
    tracks.into_iter().filter(|_| begins.next().is_some_and(|begin| begin <= share)).collect()
}

/// A track's id. Where a manifest has no ids, `id` is a relative path, which names another file
/// elsewhere.
fn id(labelled: &LabelledTrack) -> Option<&str> {
    let track = &labelled.track;
    (track.id != track.listed).then_some(&track.id)
}

/// Whether two tracks have the same id, or are the same audio file.
pub fn same_track(one: &LabelledTrack, other: &LabelledTrack) -> bool {
    let same_id = id(one).is_some_and(|one| id(other) == Some(one));
    same_id || one.track.path == other.track.path
}

/// How many tracks of `validation` are also in `train`: the same id, or the same audio file.
pub fn overlap(train: &[LabelledTrack], validation: &[LabelledTrack]) -> usize {
    let ids: HashSet<&str> = train.iter().filter_map(id).collect();
    let paths: HashSet<_> = train.iter().map(|labelled| &labelled.track.path).collect();
    let shared = |labelled: &&LabelledTrack| {
        id(labelled).is_some_and(|id| ids.contains(id)) || paths.contains(&labelled.track.path)
    };
    validation.iter().filter(shared).count()
}

/// Names a split: the same labels, tracks and sides give the same 64 hexadecimal digits on every
/// machine, wherever the audio lies and in whatever order it is listed.
pub fn split_hash(
    labels: &[String],
    train: &[LabelledTrack],
    validation: &[LabelledTrack],
) -> String {
    let mut hasher = blake3::Hasher::new();
    hash_list(&mut hasher, labels.iter().map(String::as_str));
    for side in [train, validation] {
        let mut rows: Vec<_> = side
            .iter()
            .map(|LabelledTrack { track, targets }| (&track.id, &track.listed, targets))
            .collect();
        rows.sort();
        hasher.update(&(rows.len() as u64).to_le_bytes());
        for (id, listed, targets) in rows {
            hash_list(&mut hasher, [id.as_str(), listed.as_str()].into_iter());
            let targets: Vec<u8> = targets.iter().map(|&has| u8::from(has)).collect();
            hasher.update(&targets);
        }
    }
    hasher.finalize().to_hex().to_string()
}

/// Each item with its length before it, so that no two lists hash alike.
fn hash_list<'a>(hasher: &mut blake3::Hasher, items: impl ExactSizeIterator<Item = &'a str>) {
    hasher.update(&(items.len() as u64).to_le_bytes());
    for item in items {
        hasher.update(&(item.len() as u64).to_le_bytes()).update(item.as_bytes());
    }
}
