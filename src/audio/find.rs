//! The audio files that a list of paths means.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::walk::walk;
use crate::error::{Error, Kind, Result};
use crate::files::name_alike;

/// Endings of names that promise audio of a kind that is read.
const READ: [&str; 16] = [
    "aac", "aif", "aifc", "aiff", "alac", "caf", "flac", "m4a", "m4b", "mp2", "mp3", "oga", "ogg",
    "opus", "wav", "wave",
];

/// Of kinds that are not.
const UNREAD: [&str; 24] = [
    "ac3", "amr", "ape", "au", "dff", "dsf", "dts", "eac3", "mka", "mpc", "ofr", "ra", "rm", "shn",
    "snd", "spx", "tak", "tta", "voc", "w64", "weba", "webm", "wma", "wv",
];

/// Names that a note shows.
const SHOWN: usize = 3;

/// Whether the name promises audio.
pub fn has_audio_ending(path: &Path) -> bool {
    has_ending(path, &READ) || has_unread_ending(path)
}

/// Whether the name says that the file is of a kind that is not read.
pub fn has_unread_ending(path: &Path) -> bool {
    has_ending(path, &UNREAD)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().unwrap_or_default();
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// A sentence about files that were passed over although their names promise audio; none where
/// there is no such file.
pub fn passed_over(files: &[PathBuf]) -> Option<String> {
    note(
        files,
        "file with an audio ending that holds no audio that is read",
        "files with audio endings that hold no audio that is read",
    )
}

/// A sentence about files of folders whose kind is not read; none where there is no such file.
pub fn unread(files: &[PathBuf]) -> Option<String> {
    note(files, "file of a kind that is not read", "files of kinds that are not read")
}

/// "passed over 5 WHAT: A, B, C and 2 more"; none where there are no paths.
fn note(paths: &[PathBuf], one: &str, many: &str) -> Option<String> {
    if paths.is_empty() {
        return None;
    }
    let shown: Vec<String> =
        paths.iter().take(SHOWN).map(|path| path.display().to_string()).collect();
    let more = match paths.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what = if paths.len() == 1 { one } else { many };
    Some(format!("passed over {} {what}: {}{more}", paths.len(), shown.join(", ")))
}

/// A folder that cannot be listed, and why.
pub type Unlisted = (PathBuf, Error);

/// What a list of paths means.
#[derive(Debug, Default)]
pub struct Found {
    /// The audio files.
    pub files: Vec<PathBuf>,
    /// Files of folders with an audio ending whose content is no audio that is read.
    pub passed_over: Vec<PathBuf>,
    /// Rubbish bins, snapshots and indexes, none of which is entered; resource forks, and files that are
    /// not whole yet, whose names promise audio.
    pub kept_by_systems: Vec<PathBuf>,
    /// Links with an audio ending that lead nowhere, and links to a folder around themselves.
    pub links: Vec<PathBuf>,
    /// Files beside folders of which each is a mood: they have none.
    pub without_mood: Vec<PathBuf>,
    /// Folders inside others; the rest is there.
    pub unlisted: Vec<Unlisted>,
    /// Those of the files that the list of paths itself names.
    named: HashSet<PathBuf>,
}

impl Found {
    /// Adds what other paths mean.
    pub fn extend(&mut self, other: Self) {
        let Self { files, passed_over, kept_by_systems, links, without_mood, unlisted, named } =
            other;
        self.named.extend(named);
        self.files.extend(files);
        self.passed_over.extend(passed_over);
        self.kept_by_systems.extend(kept_by_systems);
        self.links.extend(links);
        self.without_mood.extend(without_mood);
        self.unlisted.extend(unlisted);
    }

    /// Whether `file` is passed over for `error`: it was found in a folder, and is of a kind that is not
    /// read.
    pub fn passes_over(&self, file: &Path, error: &Error) -> bool {
        error.kind == Kind::Unread && !self.named.contains(file)
    }

    /// Keeps the first of the names that lead to the same file.
    pub fn drop_repeated(&mut self) {
        for files in [&mut self.files, &mut self.passed_over] {
            let mut seen = HashSet::new();
            files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
        }
    }

    /// Sentences about what was passed over.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        let kept_by_systems = note(
            &self.kept_by_systems,
            "rubbish bin, snapshot, index, resource fork or unfinished file that a system keeps",
            "rubbish bins, snapshots, indexes, resource forks and unfinished files that systems keep",
        );
        let links = note(
            &self.links,
            "link that leads nowhere, or to a folder around it",
            "links that lead nowhere, or to a folder around them",
        );
        let without_mood = note(
            &self.without_mood,
            "audio file that lies in no folder of a mood",
            "audio files that lie in no folder of a mood",
        );
        let passed_over = passed_over(&self.passed_over);
        [passed_over, kept_by_systems, links, without_mood].into_iter().flatten()
    }

    /// Puts behind an error that there is nothing what could be the reason.
    pub fn explain(&self, error: Error) -> Error {
        let unlisted = self.unlisted.iter().map(|(_, error)| error.to_string());
        let reasons = self.notes().chain(unlisted);
        reasons.fold(error, |error, reason| error.followed_by(&reason))
    }
}

/// Files stand for themselves, whatever they hold; of a folder and all folders in it, the files
/// that begin like audio, in the order of their names. A file that is found twice counts once.
///
/// Links to folders are followed, but to no folder twice. What systems keep for themselves, such as
/// rubbish bins, is passed over unless the list names it.
///
/// # Errors
/// A path of the list does not exist or cannot be listed, or there is no audio file at all.
pub fn find_audio(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        let metadata =
            path.metadata().map_err(|error| name_alike(Error::io("read", path, &error), path))?;
        if metadata.is_dir() {
            found.extend(walk(path)?);
        } else {
            found.files.push(path.clone());
            found.named.insert(path.clone());
        }
    }
    found.drop_repeated();
    if !found.files.is_empty() {
        return Ok(found);
    }
    Err(found.explain(Error::input(match paths {
        [folder] => format!("there is no audio file in {}", folder.display()),
        _ => "there is no audio file in these folders".to_owned(),
    })))
}
