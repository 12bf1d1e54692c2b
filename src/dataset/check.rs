//! Looks for what spoils training: files that cannot be used, and tracks that two manifests share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use blake3::Hash;
use rayon::prelude::*;

use super::manifest::Track;
use crate::audio::{self, Inspection};
use crate::error::Kind;
use crate::files::{name_alike, path_from_text, path_text};
use crate::ranks::Ranks;
use crate::{Error, Result};

/// What was found. Files are named as their manifest lists them.
#[derive(Debug, Default)]
pub struct Findings {
    /// Different files that were read.
    pub files: usize,
    /// Files that are left out when training, and folders that cannot be listed, and why.
    pub unreadable: Vec<(String, Error)>,
    /// Files shorter than a clip, with their seconds; they are padded with silence.
    pub short: Vec<(String, f64)>,
    /// Files that end before their header says.
    pub truncated: Vec<String>,
    /// Files with parts that cannot be decoded, in their centre clip.
    pub damaged: Vec<String>,
    /// Files whose centre clip is silent.
    pub silent: Vec<String>,
    /// Groups of files with the same bytes.
    pub copies: Vec<Vec<String>>,
    /// What stands in more than one manifest.
    pub crossings: Vec<Crossing>,
}

/// Something that more than one manifest has, so that a model is tested on what it has heard.
#[derive(Clone, Debug, PartialEq)]
pub struct Crossing {
    /// The kind of thing that is shared.
    pub what: Shared,
    /// The id of the track, artist or album, or the files.
    pub name: String,
    /// Places of the manifests in the order given.
    pub manifests: Vec<usize>,
}

/// What manifests may share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shared {
    /// The same track id.
    Track,
    /// Files with the same bytes under different ids.
    Audio,
    /// The same artist id.
    Artist,
    /// The same album id.
    Album,
}

impl Shared {
    /// The plural, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Track => "track",
            Self::Audio => "audio",
            Self::Artist => "artist",
            Self::Album => "album",
        }
    }
}

impl Findings {
    /// Takes out files whose kind is not read, and returns their names.
    pub fn pass_over_unread(&mut self) -> Vec<String> {
        let unread = self.unreadable.extract_if(.., |(_, error)| error.kind == Kind::Unread);
        unread.map(|(listed, _)| listed).collect()
    }

    /// Whether a file would be left out or a score would say too much. The rest is worth knowing.
    pub fn serious(&self) -> bool {
        !self.unreadable.is_empty() || !self.crossings.is_empty()
    }
}

/// Files that the manifests name, without repetition.
pub fn files(manifests: &[Vec<Track>]) -> usize {
    manifests.iter().flatten().map(|track| &track.path).collect::<BTreeSet<_>>().len()
}

/// Reads every file whole, decodes its centre clip of `clip_seconds`, and compares the manifests; of several
/// ranks, rank 0, with the others' help ([`assist`]). `progress` is told how many files are done.
///
/// # Errors
/// The other ranks cannot be told, or their answers not be read.
pub fn check(
    manifests: &[Vec<Track>],
    clip_seconds: f64,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Findings> {
    let mut listed: BTreeMap<&Path, &str> = BTreeMap::new();
    for track in manifests.iter().flatten() {
        listed.entry(&track.path).or_insert(&track.listed);
    }
    let paths: Vec<String> = listed.keys().map(|path| path_text(path)).collect();
    let read = read_all(&Ranks::this().hand_out(Some(paths))?, clip_seconds, progress)?;

    let mut findings = Findings { files: read.len(), ..Findings::default() };
    let mut hashes: HashMap<&Path, Hash> = HashMap::new();
    let mut copies: BTreeMap<[u8; 32], Vec<String>> = BTreeMap::new();
    for ((path, listed), (hash, inspection)) in listed.into_iter().zip(read) {
        let name = || listed.to_owned();
        if let Some(hash) = hash {
            hashes.insert(path, hash.into());
            copies.entry(hash).or_default().push(name());
        }
        match inspection {
            Err(error) => findings.unreadable.push((name(), error)),
            Ok(Inspection { seconds, truncated, damaged, silent }) => {
                if seconds < clip_seconds {
                    findings.short.push((name(), seconds));
                }
                for (found, list) in [
                    (truncated, &mut findings.truncated),
                    (damaged, &mut findings.damaged),
                    (silent, &mut findings.silent),
                ] {
                    if found {
                        list.push(name());
                    }
                }
            }
        }
    }
    findings.copies = copies.into_values().filter(|files| files.len() > 1).collect();
    findings.copies.sort();
    findings.crossings = crossings(manifests, &hashes);
    Ok(findings)
}

/// Reads this rank's share of what rank 0 checks: on every other rank.
///
/// # Errors
/// Rank 0 does not say what to read, or cannot be told what is read.
pub fn assist(clip_seconds: f64) -> Result<()> {
    let paths: Vec<String> = Ranks::this().hand_out(None)?;
    read_all(&paths, clip_seconds, &|_| ()).map(|_| ())
}

/// The hash of a file's content, where it can be read, and what it sounds like.
type Read = (Option<[u8; 32]>, Result<Inspection>);

/// Reads the files, all ranks together. Every rank has as many to read, so that its own say how far all are.
fn read_all(
    paths: &[String],
    clip_seconds: f64,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Vec<Read>> {
    let ranks = Ranks::this();
    let done = AtomicUsize::new(0);
    let one = |place: usize| {
        let result = read(&path_from_text(&paths[place]), clip_seconds);
        progress(paths.len().min(ranks.count() * (1 + done.fetch_add(1, Ordering::Relaxed))));
        result
    };
    let own: Vec<Read> = ranks.own(paths.len()).into_par_iter().map(one).collect();
    if !ranks.has_others() {
        return Ok(own);
    }
    let unreadable = |error: serde_json::Error| Error::failure(format!("a rank's answer: {error}"));
    let answers = ranks.gather(&serde_json::to_vec(&own).map_err(unreadable)?)?;
    let answers = answers.iter().map(|answer| serde_json::from_slice(answer).map_err(unreadable));
    Ok(ranks.in_order(answers.collect::<Result<_>>()?))
}

fn read(path: &Path, clip_seconds: f64) -> Read {
    // Says what a pipe or a device is before anything waits for it.
    if let Err(error) = audio::format_of(path) {
        return (None, Err(name_alike(error, path)));
    }
    let mut hasher = blake3::Hasher::new();
    let hash = std::fs::File::open(path)
        .and_then(|file| hasher.update_reader(file).map(|hasher| hasher.finalize()));
    match hash {
        Err(error) => (None, Err(Error::io("read", path, &error))),
        Ok(hash) => (Some(hash.into()), audio::inspect(path, clip_seconds)),
    }
}

/// Which manifests have something, and which of their files it is in.
#[derive(Default)]
struct Holders<'a> {
    manifests: BTreeSet<usize>,
    files: BTreeSet<&'a str>,
}

fn crossings(manifests: &[Vec<Track>], hashes: &HashMap<&Path, Hash>) -> Vec<Crossing> {
    let mut found: BTreeMap<(Shared, String), Holders<'_>> = BTreeMap::new();
    // Tracks by content.
    let mut ids: HashMap<String, BTreeSet<String>> = HashMap::new();
    for (place, tracks) in manifests.iter().enumerate() {
        for track in tracks {
            // Where a manifest has no ids, the file itself is the track.
            let id =
                if track.id == track.listed { path_text(&track.path) } else { track.id.clone() };
            let hash = hashes.get(&*track.path).map(|hash| hash.to_hex().to_string());
            if let Some(hash) = &hash {
                ids.entry(hash.clone()).or_default().insert(id.clone());
            }
            for (what, name) in [
                (Shared::Track, Some(id)),
                (Shared::Audio, hash),
                (Shared::Artist, track.artist.clone()),
                (Shared::Album, track.album.clone()),
            ] {
                let Some(name) = name else { continue };
                let holders = found.entry((what, name)).or_default();
                holders.manifests.insert(place);
                holders.files.insert(&track.listed);
            }
        }
    }
    found
        .into_iter()
        .filter(|(_, holders)| holders.manifests.len() > 1)
        // The audio of one track in two manifests is that track, already told.
        .filter(|((what, name), _)| {
            *what != Shared::Audio || ids.get(name).is_some_and(|ids| ids.len() > 1)
        })
        .map(|((what, name), holders)| Crossing {
            what,
            name: match what {
                Shared::Audio => holders.files.into_iter().collect::<Vec<_>>().join(" = "),
                _ => name,
            },
            manifests: holders.manifests.into_iter().collect(),
        })
        .collect()
}
