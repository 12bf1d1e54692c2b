//! Computed features, kept on disk between runs.
//!
//! An entry is named by what it was computed from, and by what computed it: the content of the audio
//! file, the recipe, and the device, since devices agree only within a tolerance. So a file that
//! moves keeps its entry, and one that changes, is heard by another recipe or on another device gets
//! a new one. An entry is written under another name first and then renamed, so that a reader, another
//! process and a kill at any moment see a whole entry or none; what a disk garbles all the same is
//! found by a checksum and computed again.
//!
//! ```text
//! ROOT/features/ab/cdef….f32   an entry
//! ROOT/features/new/           entries being written
//! ROOT/features/contents.txt   hashes of audio files by path, size and time of change
//! ```

mod entry;

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use blake3::Hash;
use etcetera::BaseStrategy;

use crate::error::{Error, Result};

pub use entry::{Entry, Remarks};

/// The environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "MOODSHADER_CACHE";

/// Part of every key: to be raised when the meaning of an entry changes.
const FORMAT_VERSION: u32 = 3;

/// Bytes of values that are kept in memory where the folder cannot be written: 800 clips of 30 s.
const MEMORY: usize = 512 << 20;

/// A file changed less than this before it was hashed may change again within the resolution of
/// its time stamp, unseen; its hash is not remembered.
const SETTLED: Duration = Duration::from_secs(3);

/// Half-written entries older than this belong to a process that is gone.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder for everything that can be made again: `MOODSHADER_CACHE`, else `moodshader` in the
/// platform's cache folder. It need not exist yet.
///
/// # Errors
/// `MOODSHADER_CACHE` is not set and the platform's folder is unknown (no home folder).
pub fn default_root() -> Result<PathBuf> {
    if let Some(root) = std::env::var_os(CACHE_VARIABLE).filter(|value| !value.is_empty()) {
        let root = PathBuf::from(root);
        return std::path::absolute(&root).map_err(|error| Error::io("find", &root, &error));
    }
    let platform = etcetera::base_strategy::choose_native_strategy().map_err(|error| {
        Error::input(format!(
            "there is no place for the cache ({error}); set {CACHE_VARIABLE} to a folder"
        ))
    })?;
    Ok(platform.cache_dir().join("moodshader"))
}

/// What an entry was computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    hash: Hash,
    ending: &'static str,
}

/// The ending of a spectrogram's file; a clip has one.
const SPECTROGRAM: &str = "f32";
/// The ending of the hand-crafted features' beside it.
const HANDCRAFTED: &str = "handcrafted";

impl Key {
    /// The key of a spectrogram made by `recipe` on `device` from audio whose content hashes to
    /// `content`. The recipe is any text that states every number the features depend on; the device
    /// is [`Device::identity`](crate::exec::Device::identity).
    pub fn new(content: Hash, recipe: &str, device: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&FORMAT_VERSION.to_le_bytes()).update(content.as_bytes());
        // The length keeps the two texts apart.
        hasher.update(&(recipe.len() as u64).to_le_bytes()).update(recipe.as_bytes());
        let hash = hasher.update(device.as_bytes()).finalize();
        Self { hash, ending: SPECTROGRAM }
    }

    /// The same of hand-crafted features.
    pub fn of_handcrafted(content: Hash, recipe: &str, device: &str) -> Self {
        Self { ending: HANDCRAFTED, ..Self::new(content, recipe, device) }
    }
}

/// How much the cache holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSize {
    /// Clips whose spectrograms are kept.
    pub entries: u64,
    /// What they take on disk.
    pub bytes: u64,
}

impl fmt::Display for CacheSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} clips, {}", self.entries, show_bytes(self.bytes))
    }
}

/// A number of bytes for people.
pub fn show_bytes(bytes: u64) -> String {
    let (mut size, mut unit) = (bytes as f64, "bytes");
    for larger in ["kB", "MB", "GB", "TB"] {
        if size >= 1000.0 {
            (size, unit) = (size / 1000.0, larger);
        }
    }
    let digits = if unit == "bytes" { 0 } else { 1 };
    format!("{size:.digits$} {unit}")
}

/// Feature arrays on disk. May be shared by threads, and its folder by processes.
pub struct FeatureCache {
    folder: PathBuf,
    /// Content hashes of audio files, by [`stamp`].
    contents: Mutex<HashMap<Hash, Hash>>,
    /// Entries begun by this process; makes their temporary names unique.
    begun: AtomicU64,
    /// What this process has put where the folder can be read only.
    unwritten: Option<Mutex<Unwritten>>,
}

/// What takes the place of a folder that cannot be written.
struct Unwritten {
    /// Why not.
    cause: std::io::Error,
    entries: HashMap<Key, Entry>,
    /// Of all their values.
    bytes: usize,
}

impl FeatureCache {
    /// Opens the cache in `root`, by default in [`default_root`], and makes its folders. One that is
    /// there and cannot be written, such as a shared one, is read only: what is put stays in memory.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(root: Option<PathBuf>) -> Result<Self> {
        let folder = root.map_or_else(default_root, Ok)?.join("features");
        let (contents, begun) = (Mutex::default(), AtomicU64::new(0));
        let mut cache = Self { folder, contents, begun, unwritten: None };
        let (new, probe) = (cache.folder.join("new"), cache.temporary());
        match fs::create_dir_all(&new).and_then(|()| fs::write(&probe, b"")) {
            Ok(()) => {
                let _ = fs::remove_file(&probe);
                remove_abandoned(&new, ABANDONED);
            }
            Err(cause) if cache.folder.is_dir() => {
                let unwritten = Unwritten { cause, entries: HashMap::new(), bytes: 0 };
                cache.unwritten = Some(Mutex::new(unwritten));
            }
            Err(error) => return Err(cache.unwritable(&error)),
        }
        *lock(&cache.contents) = read_contents(&cache.contents_file());
        Ok(cache)
    }

    /// Where the entries lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The hash of the content of the file at `path`. It is remembered by path, size and time of
    /// change, so that an unchanged file is read only once.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn content_hash(&self, path: &Path) -> Result<Hash> {
        let io_error = |error| Error::io("read", path, &error);
        // Reading a pipe or a device could wait for ever.
        if fs::metadata(path).is_ok_and(|file| !file.is_file()) {
            return Err(Error::input(format!("{} is not a file", path.display())));
        }
        let stamp = stamp(path).map_err(io_error)?;
        if let Some(content) = stamp.and_then(|stamp| lock(&self.contents).get(&stamp).copied()) {
            return Ok(content);
        }
        let mut hasher = blake3::Hasher::new();
        let file = File::open(path).map_err(io_error)?;
        let content = hasher.update_reader(file).map_err(io_error)?.finalize();
        if let Some(stamp) = stamp {
            lock(&self.contents).insert(stamp, content);
            // A hash that cannot be remembered costs time at the next start, nothing else.
            let line = format!("{stamp} {content}\n");
            let _ = OpenOptions::new()
                .create(true)
                .append(true)
                .open(self.contents_file())
                .and_then(|mut file| file.write_all(line.as_bytes()));
        }
        Ok(content)
    }

    /// What is stored under `key`. An entry that is damaged is removed and counts as absent.
    pub fn get(&self, key: Key) -> Option<Entry> {
        if let Some(unwritten) = &self.unwritten
            && let Some(entry) = lock(unwritten).entries.get(&key)
        {
            return Some(entry.clone());
        }
        let path = self.entry(key);
        let bytes = fs::read(&path).ok()?;
        let entry = entry::decode(&bytes, key);
        if entry.is_none() {
            let _ = fs::remove_file(&path);
        }
        entry
    }

    /// Stores `values` under `key` with what was noticed about the audio, replacing what is there.
    ///
    /// # Errors
    /// The entry cannot be written: the disk is full, or the folder has become unwritable. A folder
    /// that can be read only, and more values than are kept in memory.
    pub fn put(&self, key: Key, values: &[f32], remarks: Remarks) -> Result<()> {
        if let Some(unwritten) = &self.unwritten {
            let mut unwritten = lock(unwritten);
            unwritten.bytes += size_of_val(values);
            if unwritten.bytes > MEMORY {
                return Err(self.unwritable(&unwritten.cause));
            }
            unwritten.entries.insert(key, Entry { values: values.to_vec(), remarks });
            return Ok(());
        }
        let path = self.entry(key);
        let temporary = self.temporary();
        let written = fs::create_dir_all(path.parent().unwrap_or(&self.folder))
            .and_then(|()| fs::write(&temporary, entry::encode(key, values, remarks)))
            .and_then(|()| match fs::rename(&temporary, &path) {
                // Where an open file cannot be replaced, another process is reading this entry.
                Err(_) if path.exists() => fs::remove_file(&temporary),
                renamed => renamed,
            });
        written.map_err(|error| {
            let _ = fs::remove_file(&temporary);
            self.unwritable(&error)
        })
    }

    /// Where the folder can be read only: what had to be computed, which will be computed again.
    pub fn unwritten(&self) -> Option<String> {
        let unwritten = lock(self.unwritten.as_ref()?);
        let spectrogram = |key: &&Key| key.ending == SPECTROGRAM;
        let clips = unwritten.entries.keys().filter(spectrogram).count();
        (clips > 0).then(|| {
            format!(
                "warning: the features of {clips} clips are not in the cache and will be computed \
                 again: {}",
                self.unwritable(&unwritten.cause)
            )
        })
    }

    /// Counts the entries and their bytes on disk.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn size(&self) -> Result<CacheSize> {
        let mut size = CacheSize { entries: 0, bytes: 0 };
        self.for_each_entry(|entry| {
            size.entries += u64::from(has_ending(&entry.path(), &[SPECTROGRAM]));
            size.bytes += entry.metadata()?.len();
            Ok(())
        })?;
        Ok(size)
    }

    /// Removes every entry, forgets all content hashes, and removes half-written entries that nobody
    /// writes any more. Other processes may go on: to them the entries become absent.
    ///
    /// # Errors
    /// An entry cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.for_each_entry(|entry| fs::remove_file(entry.path()))?;
        remove_abandoned(&self.folder.join("new"), SETTLED);
        lock(&self.contents).clear();
        let contents = self.contents_file();
        match fs::remove_file(&contents) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("remove", &contents, &error))
            }
            _ => Ok(()),
        }
    }

    /// Removes entries, the first written first, until no more than `max_bytes` are left. As after
    /// [`Self::clear`], the entries become absent to other processes.
    ///
    /// # Errors
    /// An entry cannot be removed.
    pub fn shrink(&self, max_bytes: u64) -> Result<()> {
        let mut entries = Vec::new();
        self.for_each_entry(|entry| {
            let metadata = entry.metadata()?;
            entries.push((metadata.modified()?, entry.path(), metadata.len()));
            Ok(())
        })?;
        entries.sort();
        let mut bytes: u64 = entries.iter().map(|(_, _, bytes)| bytes).sum();
        for (_, path, entry_bytes) in entries {
            if bytes <= max_bytes {
                break;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &path, &error));
                }
                _ => bytes -= entry_bytes,
            }
        }
        Ok(())
    }

    /// Calls `visit` for every entry; one that another process removes meanwhile is passed over.
    fn for_each_entry(
        &self,
        mut visit: impl FnMut(&fs::DirEntry) -> std::io::Result<()>,
    ) -> Result<()> {
        let absent = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        let list = |folder: &Path| -> Result<Vec<fs::DirEntry>> {
            fs::read_dir(folder)
                .and_then(Iterator::collect)
                .map_err(|error| Error::io("read", folder, &error))
        };
        for folder in list(&self.folder)?.into_iter().map(|folder| folder.path()) {
            if !folder.is_dir() {
                continue;
            }
            for entry in list(&folder)? {
                if !has_ending(&entry.path(), &[SPECTROGRAM, HANDCRAFTED]) {
                    continue;
                }
                match visit(&entry) {
                    Err(error) if !absent(&error) => {
                        return Err(Error::io("use", &entry.path(), &error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn entry(&self, key: Key) -> PathBuf {
        let name = key.hash.to_hex();
        let (folder, rest) = name.split_at(2);
        self.folder.join(folder).join(rest).with_extension(key.ending)
    }

    /// A name that no other thread or process writes to.
    fn temporary(&self) -> PathBuf {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let nanoseconds =
            UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() % 1_000_000_000_000);
        let name = format!("{}-{number}-{nanoseconds}", std::process::id());
        self.folder.join("new").join(name)
    }

    fn contents_file(&self) -> PathBuf {
        self.folder.join("contents.txt")
    }

    fn unwritable(&self, error: &std::io::Error) -> Error {
        Error::io("write the cache in", &self.folder, error)
            .followed_by(&format!("set {CACHE_VARIABLE} to a folder that can be written"))
    }
}

/// A panic elsewhere leaves a map of whole entries behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|&known| ending == known))
}

/// Names the state of a file by path, size and time of change; `None` where the time says too
/// little, because it is unknown or too recent.
fn stamp(path: &Path) -> std::io::Result<Option<Hash>> {
    let metadata = fs::metadata(path)?;
    let Some(changed) = metadata.modified().ok().filter(|changed| is_older(*changed, SETTLED))
    else {
        return Ok(None);
    };
    let Ok(since) = changed.duration_since(UNIX_EPOCH) else { return Ok(None) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&metadata.len().to_le_bytes()).update(&since.as_nanos().to_le_bytes());
    hasher.update(fs::canonicalize(path)?.as_os_str().as_encoded_bytes());
    Ok(Some(hasher.finalize()))
}

fn is_older(time: SystemTime, age: Duration) -> bool {
    time.elapsed().is_ok_and(|elapsed| elapsed > age)
}

/// Lines of two hashes. A line that a crash left incomplete is passed over: its file is read again.
fn read_contents(path: &Path) -> HashMap<Hash, Hash> {
    let text = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| {
            let (stamp, content) = line.split_once(' ')?;
            Some((Hash::from_hex(stamp).ok()?, Hash::from_hex(content).ok()?))
        })
        .collect()
}

/// Removes what nobody has written to for `age`. Failing to is harmless.
fn remove_abandoned(folder: &Path, age: Duration) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        if changed.is_ok_and(|changed| is_older(changed, age)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests;
