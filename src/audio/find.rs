//! The audio files that a list of paths means.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::format::format_of;
use crate::error::{Error, Result};
use crate::files::is_leftover;

/// Endings of names that promise audio.
const ENDINGS: [&str; 22] = [
    "aac", "aif", "aifc", "aiff", "alac", "ape", "caf", "flac", "m4a", "m4b", "mka", "mp2", "mp3",
    "mpc", "oga", "ogg", "opus", "w64", "wav", "wave", "wma", "wv",
];

/// Names that a note shows.
const SHOWN: usize = 3;

/// Whether the name promises audio.
pub fn has_audio_ending(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    ENDINGS.iter().any(|known| ending == *known)
}

/// A sentence about files that were passed over although their names promise audio; none where
/// there is no such file.
pub fn passed_over(files: &[PathBuf]) -> Option<String> {
    if files.is_empty() {
        return None;
    }
    let shown: Vec<String> =
        files.iter().take(SHOWN).map(|file| file.display().to_string()).collect();
    let more = match files.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let (what, hold) = match files.len() {
        1 => ("file with an audio ending", "holds"),
        _ => ("files with audio endings", "hold"),
    };
    Some(format!(
        "passed over {} {what} that {hold} no audio that is read: {}{more}",
        files.len(),
        shown.join(", ")
    ))
}

/// What a list of paths means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The audio files.
    pub files: Vec<PathBuf>,
    /// Files of folders with an audio ending whose content is no audio that is read.
    pub passed_over: Vec<PathBuf>,
}

impl Found {
    /// Keeps the first of the names that lead to the same file.
    pub fn drop_repeated(&mut self) {
        for files in [&mut self.files, &mut self.passed_over] {
            let mut seen = HashSet::new();
            files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
        }
    }

    /// A sentence about the files passed over, if any.
    pub fn note(&self) -> Option<String> {
        passed_over(&self.passed_over)
    }
}

/// Files stand for themselves, whatever they hold; of a folder and all folders in it, the files
/// that begin like audio, in the order of their names. A file that is found twice counts once.
///
/// # Errors
/// A path of the list does not exist, a folder cannot be read, or there is no audio file at all.
pub fn find_audio(paths: &[PathBuf]) -> Result<Found> {
    let mut found = Found::default();
    for path in paths {
        let metadata = path.metadata().map_err(|error| Error::io("read", path, &error))?;
        if metadata.is_dir() {
            walk(path, &mut found)?;
        } else {
            found.files.push(path.clone());
        }
    }
    found.drop_repeated();
    if !found.files.is_empty() {
        return Ok(found);
    }
    let error = Error::input(match paths {
        [folder] => format!("there is no audio file in {}", folder.display()),
        _ => "there is no audio file in these folders".to_owned(),
    });
    Err(match found.note() {
        Some(note) => error.followed_by(&note),
        None => error,
    })
}

fn walk(folder: &Path, found: &mut Found) -> Result<()> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| Error::io("read", folder, &error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if is_leftover(&path) {
            continue;
        }
        // A link to a folder may lead back to where it stands; one to a file is as good as a file.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, found)?;
        } else if path.is_file() && !matches!(format_of(&path), Ok(None)) {
            found.files.push(path);
        } else if has_audio_ending(&path) && !path.is_dir() {
            found.passed_over.push(path);
        }
    }
    Ok(())
}
