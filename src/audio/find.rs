//! The audio files that a list of paths means.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::format::format_of;
use crate::error::{Error, Result};

/// Files stand for themselves, whatever they hold; of a folder and all folders in it, the files
/// that begin like audio, in the order of their names. A file that is found twice counts once.
///
/// # Errors
/// A path of the list does not exist, a folder cannot be read, or there is no audio file at all.
pub fn find_audio(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let metadata = path.metadata().map_err(|error| Error::io("read", path, &error))?;
        if metadata.is_dir() {
            walk(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
    match (&*files, paths) {
        ([], [folder]) => {
            Err(Error::input(format!("there is no audio file in {}", folder.display())))
        }
        ([], _) => Err(Error::input("there is no audio file in these folders")),
        _ => Ok(files),
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(|error| Error::io("read", folder, &error))?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        // A link to a folder may lead back to where it stands; one to a file is as good as a file.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, files)?;
        } else if path.is_file() && !matches!(format_of(&path), Ok(None)) {
            files.push(path);
        }
    }
    Ok(())
}
