//! A file's successor, which stands beside it until it takes its place.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Error};
use std::path::{Path, PathBuf};

use crate::files::{is_leftover, is_stale, successor};

/// It goes again unless it takes the file's place.
pub struct Replacement {
    original: PathBuf,
    path: PathBuf,
    /// To be written.
    pub file: File,
    /// What the original was before anything was read.
    metadata: Metadata,
}

impl Replacement {
    /// An empty successor of the file at `original`, with its owner, rights and attributes.
    pub fn new(original: &Path, file: &File) -> io::Result<Self> {
        let path = successor(original);
        let metadata = file.metadata()?;
        // What a killed process of the same number left.
        let _ = fs::remove_file(&path);
        let copy = Self {
            file: OpenOptions::new().write(true).create_new(true).open(&path)?,
            original: original.to_owned(),
            path,
            metadata,
        };
        copy.keep_attributes(file)?;
        Ok(copy)
    }

    #[cfg(unix)]
    fn keep_attributes(&self, original: &File) -> io::Result<()> {
        use std::os::unix::fs::MetadataExt;
        use xattr::FileExt;

        let kept = |what: &str, result: io::Result<()>| {
            result.map_err(|error| {
                Error::new(error.kind(), format!("its {what} cannot be kept ({error})"))
            })
        };
        let (old, new) = (&self.metadata, self.file.metadata()?);
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            let (owner, group) = (Some(old.uid()), Some(old.gid()));
            kept("owner", std::os::unix::fs::fchown(&self.file, owner, group))?;
        }
        kept("rights", self.file.set_permissions(old.permissions()))?;
        // Access control lists are attributes too, and come after the rights that they refine.
        let names = |file: &File| match file.list_xattr() {
            Ok(names) => Ok(names.collect::<BTreeSet<_>>()),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        };
        let (wanted, inherited) = (names(original)?, names(&self.file)?);
        for name in inherited.difference(&wanted) {
            kept("attributes", self.file.remove_xattr(name))?;
        }
        for name in wanted {
            let value = original.get_xattr(&name)?;
            if value != self.file.get_xattr(&name)? {
                kept("attributes", self.file.set_xattr(&name, &value.unwrap_or_default()))?;
            }
        }
        Ok(())
    }

    #[cfg(not(unix))]
    fn keep_attributes(&self, _: &File) -> io::Result<()> {
        self.file.set_permissions(self.metadata.permissions())
    }

    /// Takes the place of the original, unless another program has changed that.
    pub fn take_place(self, original: &File) -> io::Result<()> {
        self.file.sync_all()?;
        // The open file, and what its name leads to by now: others replace files as this does.
        let (now, named) = (original.metadata()?, fs::metadata(&self.original)?);
        if [now, named].iter().any(|file| state(file) != state(&self.metadata)) {
            return Err(Error::other("another program has changed it"));
        }
        fs::rename(&self.path, &self.original)
    }
}

/// What tells a file from another, and from itself before a change.
#[cfg(unix)]
fn state(file: &Metadata) -> (u64, u64, u64, i64, i64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec())
}

/// What tells a file from itself before a change.
#[cfg(not(unix))]
fn state(file: &Metadata) -> (u64, Option<std::time::SystemTime>) {
    (file.len(), file.modified().ok())
}

impl Drop for Replacement {
    fn drop(&mut self) {
        // Gone where it took the file's place.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a successor could stand beside the file at `path` and have its owner: what a dry run can
/// tell of [`Replacement::new`].
#[cfg(unix)]
pub fn check(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    use rustix::process::{getegid, geteuid, getgroups};

    check_folder(path.parent().unwrap_or(Path::new("/")))?;
    let metadata = file.metadata()?;
    let (user, group) = (geteuid(), metadata.gid());
    let in_group = || {
        Ok::<_, io::Error>(
            getegid().as_raw() == group
                || getgroups()?.iter().any(|member| member.as_raw() == group),
        )
    };
    match user.is_root() || user.as_raw() == metadata.uid() && in_group()? {
        true => Ok(()),
        false => Err(Error::new(
            io::ErrorKind::PermissionDenied,
            "its owner or group is another and could not be kept",
        )),
    }
}

#[cfg(not(unix))]
pub fn check(_: &Path, _: &File) -> io::Result<()> {
    Ok(())
}

/// Whether a file could be made in `folder`, as far as can be told without making one.
pub fn check_folder(folder: &Path) -> io::Result<()> {
    if !folder.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    #[cfg(unix)]
    {
        use rustix::fs::Access;
        rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)?;
    }
    Ok(())
}

/// Removes successors that killed processes left beside `files`.
pub fn sweep(files: &[PathBuf]) {
    let folders: BTreeSet<PathBuf> = files
        .iter()
        .filter_map(|file| file.canonicalize().ok()?.parent().map(Path::to_owned))
        .collect();
    for entry in folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten() {
        // Another machine may be at work on a shared folder, so that no process tells.
        if is_leftover(&entry.path()) && is_stale(&entry.path()) {
            // What cannot be removed is passed over.
            let _ = fs::remove_file(entry.path());
        }
    }
}
