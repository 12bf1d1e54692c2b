//! What lies in a folder and in all folders in it.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::find::{Found, has_audio_ending};
use super::format::format_of;
use crate::error::{Error, Result};
use crate::files::is_leftover;

/// Folders in which systems keep what was deleted, what was before, and what they make of files: the
/// music in them is gone, or is there a second time.
const KEPT_BY_SYSTEMS: [&str; 23] = [
    // Rubbish bins: macOS, Windows, Samba, Unraid, Synology, QNAP. Freedesktop's follow below.
    ".Trash",
    ".Trashes",
    "Network Trash Folder",
    "$RECYCLE.BIN",
    "RECYCLER",
    "RECYCLED",
    ".Recycle.Bin",
    ".recycle",
    "#recycle",
    "@Recycle",
    // Snapshots and versions: Synology, QNAP, NetApp, ZFS, Btrfs, Syncthing.
    "#snapshot",
    "@Recently-Snapshot",
    ".snapshot",
    ".snapshots",
    "~snapshot",
    ".zfs",
    ".stversions",
    // Indexes and thumbnails: Synology, QNAP, desktops. Resource forks: macOS.
    "@eaDir",
    ".@__thumb",
    ".thumbnails",
    ".AppleDouble",
    "__MACOSX",
    "System Volume Information",
];

fn is_kept_by_system(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let of_user = |name: &str| {
        let number = name.strip_prefix(".Trash-");
        number.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
    };
    KEPT_BY_SYSTEMS.iter().any(|known| name.eq_ignore_ascii_case(known))
        || of_user(name)
        || folder.ends_with(".local/share/Trash")
}

/// How names of files begin that are no music of their own: a resource fork, which macOS keeps beside a
/// file where a file system has no room for it (AppleDouble), and what Android has deleted or has not
/// whole yet.
const ASIDE: [&[u8]; 3] = [b"._", b".trashed-", b".pending-"];

/// Endings of files that other programs have not written or loaded to their end.
const UNFINISHED: [&str; 6] = ["part", "partial", "crdownload", "download", "tmp", "!ut"];

/// Whether the name is that of a file which stands for another, or is not whole. rsync and its like
/// write a hidden file whose name goes on behind the ending.
fn is_aside(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let ending = path.extension().unwrap_or_default();
    ASIDE.iter().any(|begin| name.starts_with(begin))
        || UNFINISHED.iter().any(|known| ending.eq_ignore_ascii_case(known))
        || name.starts_with(b".") && !has_audio_ending(path)
}

/// What lies in `root` and in all folders in it, in the order of names. Links to folders are followed
/// once all folders that are no links are known by their own names; no folder is entered twice.
///
/// # Errors
/// `root` cannot be listed; any other folder is among [`Found::unlisted`] then.
pub fn walk(root: &Path) -> Result<Found> {
    let root = Folder::open(root)?;
    let entries = root.list()?;
    let mut walk = Walk::default();
    walk.entered.insert(root.real.clone());
    walk.take(&root, entries);
    Ok(walk.finish())
}

/// For each folder right inside `root`, in the order of names and links to folders among them, what
/// [`walk`] finds in it, each file once. The second part is what `root` itself tells, and
/// has no files but those without a mood.
///
/// # Errors
/// `root` cannot be listed.
pub fn walk_each(root: &Path) -> Result<(Vec<(PathBuf, Found)>, Found)> {
    let root = Folder::open(root)?;
    let (mut folders, mut aside) = (Vec::new(), Found::default());
    for entry in root.list()? {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if (kind.is_dir() || kind.is_symlink()) && is_kept_by_system(&path) {
            aside.kept_by_systems.push(path);
            continue;
        }
        if path.is_file() {
            if has_audio_ending(&path) && !is_leftover(&path) && !is_aside(&path) {
                aside.without_mood.push(path);
            }
            continue;
        }
        let folder = match kind.is_symlink() && path.is_dir() {
            true => resolve(&Link { path, home: root.real.clone() }, &mut aside),
            false => kind.is_dir().then(|| root.inner(&entry)),
        };
        let Some(folder) = folder else { continue };
        let mut walk = Walk::default();
        walk.enter(&folder);
        let mut found = walk.finish();
        found.drop_repeated();
        folders.push((folder.path, found));
    }
    Ok((folders, aside))
}

/// A folder under the path by which it was found, and under the one without links.
struct Folder {
    path: PathBuf,
    real: PathBuf,
}

impl Folder {
    fn open(path: &Path) -> Result<Self> {
        let real = path.canonicalize().map_err(|error| Error::io("read", path, &error))?;
        Ok(Self { path: path.to_owned(), real })
    }

    /// The entries in the order of their names.
    fn list(&self) -> Result<Vec<DirEntry>> {
        let entries = fs::read_dir(&self.path).and_then(Iterator::collect::<io::Result<Vec<_>>>);
        let mut entries = entries.map_err(|error| Error::io("list", &self.path, &error))?;
        entries.sort_by_key(DirEntry::file_name);
        Ok(entries)
    }

    /// One of the entries, which is a folder and no link.
    fn inner(&self, entry: &DirEntry) -> Self {
        Self { path: entry.path(), real: self.real.join(entry.file_name()) }
    }
}

/// A link to a folder.
struct Link {
    path: PathBuf,
    /// The folder that it stands in, without links.
    home: PathBuf,
}

/// Where a link leads, unless that is a folder around the link itself: such a link is no part of a
/// library but a way out of it, at worst to all of the disk.
fn resolve(link: &Link, found: &mut Found) -> Option<Folder> {
    match link.path.canonicalize() {
        Ok(real) if link.home.starts_with(&real) => found.links.push(link.path.clone()),
        Ok(real) => return Some(Folder { path: link.path.clone(), real }),
        Err(error) => {
            let error = Error::io("follow", &link.path, &error);
            found.unlisted.push((link.path.clone(), error));
        }
    }
    None
}

#[derive(Default)]
struct Walk {
    found: Found,
    /// Without links.
    entered: HashSet<PathBuf>,
    /// Links to folders that are still to be followed.
    links: VecDeque<Link>,
}

impl Walk {
    fn enter(&mut self, folder: &Folder) {
        if !self.entered.insert(folder.real.clone()) {
            return;
        }
        match folder.list() {
            Ok(entries) => self.take(folder, entries),
            Err(error) => self.found.unlisted.push((folder.path.clone(), error)),
        }
    }

    fn take(&mut self, folder: &Folder, entries: Vec<DirEntry>) {
        for entry in entries {
            let path = entry.path();
            let kind = entry.file_type();
            let is = |what: fn(&fs::FileType) -> bool| kind.as_ref().is_ok_and(what);
            let is_folder = is(fs::FileType::is_dir);
            let is_link = is(fs::FileType::is_symlink);
            if (is_folder || is_link) && is_kept_by_system(&path) {
                self.found.kept_by_systems.push(path);
            } else if is_folder {
                self.enter(&folder.inner(&entry));
            } else if is_leftover(&path) {
                // Its own, half-written.
            } else if is_aside(&path) {
                if has_audio_ending(&path) {
                    self.found.kept_by_systems.push(path);
                }
            } else {
                self.file_or_link(folder, path, is_link);
            }
        }
    }

    fn file_or_link(&mut self, folder: &Folder, path: PathBuf, is_link: bool) {
        let promises_audio = has_audio_ending(&path);
        match path.metadata() {
            Ok(target) if target.is_dir() => {
                self.links.push_back(Link { path, home: folder.real.clone() });
            }
            Ok(target) if target.is_file() && !matches!(format_of(&path), Ok(None)) => {
                self.found.files.push(path);
            }
            Ok(_) if promises_audio => self.found.passed_over.push(path),
            Ok(_) => {}
            Err(error) => match (error.kind(), is_link) {
                (ErrorKind::NotFound, false) => {} // Another program has removed it meanwhile.
                (ErrorKind::PermissionDenied, true) if !promises_audio => {
                    let error = Error::io("follow", &path, &error);
                    self.found.unlisted.push((path, error));
                }
                (ErrorKind::PermissionDenied, true) | (_, false) if promises_audio => {
                    // Who reads it is told why it cannot be read.
                    self.found.files.push(path);
                }
                // One without an ending may lead to a folder, whose disk is away.
                (_, true) if promises_audio || path.extension().is_none() => {
                    self.found.links.push(path);
                }
                _ => {}
            },
        }
    }

    fn finish(mut self) -> Found {
        while let Some(link) = self.links.pop_front() {
            // What is entered already is no loss, wherever the link leads.
            let entered = |real: PathBuf| self.entered.contains(&real);
            if link.path.canonicalize().is_ok_and(entered) {
                continue;
            }
            if let Some(folder) = resolve(&link, &mut self.found) {
                self.enter(&folder);
            }
        }
        let Found { files, passed_over, kept_by_systems, links, .. } = &mut self.found;
        for paths in [files, passed_over, kept_by_systems, links] {
            paths.sort();
        }
        self.found
    }
}
