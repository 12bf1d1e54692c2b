//! The corpora in the cache folder: what they take, and how to be rid of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};

/// Begins the name of every corpus in the cache.
pub(super) const CORPUS: &str = "synthetic-";

/// Begin the names of folders that are being built or removed.
const TEMPORARY: [&str; 2] = [".building-synthetic-", ".damaged-synthetic-"];

/// A temporary folder in which nothing was written for so long is no longer being built: its
/// process was killed. Whether a process lives cannot be asked, since it may be another machine's
/// or another container's.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// A corpus in the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Where it lies.
    pub folder: PathBuf,
    /// What its files take.
    pub bytes: u64,
    /// Not complete: it is being composed, or its process was killed.
    pub left_over: bool,
}

/// The corpora in the cache folder `root`, by name.
///
/// # Errors
/// The folder cannot be read.
pub fn stored(root: &Path) -> Result<Vec<Stored>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries
            .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
            .map_err(|error| Error::io("read", root, &error))?,
    };
    let mut stored = Vec::new();
    for folder in entries.into_iter().map(|entry| entry.path()).filter(|path| path.is_dir()) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let left_over = TEMPORARY.iter().any(|start| name.starts_with(start));
        if left_over || name.starts_with(CORPUS) {
            let bytes = contents(&folder).into_iter().map(|(bytes, _)| bytes).sum();
            stored.push(Stored { folder, bytes, left_over });
        }
    }
    stored.sort_by(|a, b| a.folder.cmp(&b.folder));
    Ok(stored)
}

/// Removes all corpora and what killed builds left. A build that is under way fails.
///
/// # Errors
/// A folder cannot be removed.
pub fn clear(root: &Path) -> Result<()> {
    for Stored { folder, .. } in stored(root)? {
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &folder, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Deletes what killed builds left in the cache. A folder that cannot be deleted does no harm.
pub(super) fn remove_abandoned(root: &Path) {
    for Stored { folder, .. } in
        stored(root).unwrap_or_default().into_iter().filter(|s| s.left_over)
    {
        let newest = contents(&folder).into_iter().filter_map(|(_, changed)| changed).max();
        let age = newest.and_then(|then| SystemTime::now().duration_since(then).ok());
        if age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Bytes and time of change of a folder's files, and of the folders, which take none. What is
/// removed meanwhile is passed over.
fn contents(folder: &Path) -> Vec<(u64, Option<SystemTime>)> {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let mut all = vec![(0, changed(folder))];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(data) if data.is_dir() => all.extend(contents(&entry.path())),
            Ok(data) => all.push((data.len(), data.modified().ok())),
            Err(_) => {}
        }
    }
    all
}
