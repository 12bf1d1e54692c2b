//! Whether a file is the one that it was.

use std::fs::{File, Metadata};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;

/// Blocks of a file that tell it from others, and their size.
const BLOCKS: u64 = 3;
const BLOCK: u64 = 64 << 10;

/// The size of a file and when it was changed, by which a change is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Bytes.
    pub size: u64,
    /// When its content was changed, in nanoseconds since 1970.
    pub modified: i64,
    /// When its name, its rights or its content were changed, likewise; 0 on systems that do not say.
    pub status: i64,
}

impl State {
    /// Of the file at `path`, or where its link leads.
    ///
    /// # Errors
    /// There is no file, or its folder may not be read.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        let metadata = path.metadata()?;
        let since = |time: SystemTime| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_nanos() as i64,
            Err(before) => -(before.duration().as_nanos() as i64),
        };
        let (size, modified) = (metadata.len(), since(metadata.modified()?));
        Ok(Self { size, modified, status: status(&metadata) })
    }

    /// Whether the content is that of `other`, as far as its size and its time tell: a name, rights or
    /// attributes may be others.
    pub fn has_content_of(self, other: Self) -> bool {
        (self.size, self.modified) == (other.size, other.modified)
    }

    /// How long ago the file was changed; nothing where its clock is ahead of this one.
    pub fn age(self) -> Option<Duration> {
        let changed = UNIX_EPOCH + Duration::from_nanos(u64::try_from(self.modified).ok()?);
        changed.elapsed().ok()
    }
}

#[cfg(unix)]
fn status(file: &Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    file.ctime().wrapping_mul(1_000_000_000).wrapping_add(file.ctime_nsec())
}

#[cfg(not(unix))]
fn status(_: &Metadata) -> i64 {
    0
}

/// A hash of a file's size and of three blocks of 64 KiB of it: the first, the middle one and the last. It
/// tells a moved file in a moment, where reading all of it would take as long as hearing it.
///
/// # Errors
/// The file cannot be read.
pub fn fingerprint(path: &Path) -> std::io::Result<Hash> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&size.to_le_bytes());
    let last = size.saturating_sub(BLOCK);
    for block in 0..BLOCKS {
        file.seek(SeekFrom::Start(last * block / (BLOCKS - 1)))?;
        let mut bytes = Vec::with_capacity(BLOCK as usize);
        (&mut file).take(BLOCK).read_to_end(&mut bytes)?;
        hasher.update(&bytes);
    }
    Ok(hasher.finalize())
}

/// Whether there is nothing at `path`.
pub fn is_gone(path: &Path) -> bool {
    path.symlink_metadata().is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
}
