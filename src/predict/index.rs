//! What a model has said of the files of a library, kept so that the next scan hears only what is new.
//!
//! One SQLite database for each model and number of clips that it hears, `library/NAME-HASH.sqlite` in the
//! cache folder. SQLite, because several scans may write at once, a kill or a power cut must leave every
//! complete row, and any program can read it:
//!
//! ```sh
//! sqlite3 musicnn-msd-….sqlite 'SELECT path, size, duration FROM songs'
//! ```

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use blake3::Hash;
use rusqlite::{
    Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior,
    params,
};

use super::prediction::{Heard, Prediction};
use super::state::{State, is_gone};
use crate::audio::Credits;
use crate::dataset::cache::default_root;
use crate::files::path_of;
use crate::{Error, Result};

/// Part of every database's name: to be raised when a row's meaning changes, or what is heard of a file.
const FORMAT: u32 = 1;

const ENDING: &str = "sqlite";

/// As long as another scan writes, this one waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between two commits, each of which waits for the disk.
const COMMIT_EVERY: Duration = Duration::from_millis(250);

/// A file that was heard.
#[derive(Clone, Debug)]
pub struct Known {
    /// As it was then.
    pub state: State,
    /// Of that.
    pub fingerprint: Hash,
    /// [`Device::identity`](crate::exec::Device::identity) of what computed what was said of it.
    pub device: String,
}

/// A row that is not committed yet.
struct Waiting {
    path: Vec<u8>,
    known: Known,
    credits: Credits,
    prediction: Prediction,
}

/// The index of one model.
pub struct Index {
    connection: Connection,
    path: PathBuf,
    /// Names of the model's outputs.
    labels: Arc<[String]>,
    clip_seconds: f64,
    waiting: Vec<Waiting>,
    committed: Instant,
    /// Its folder can be read only.
    read_only: bool,
    /// A disk has garbled it.
    garbled: Cell<bool>,
    set_aside_as: Option<PathBuf>,
}

/// The folder of all indexes.
fn folder() -> Result<PathBuf> {
    Ok(default_root()?.join("library"))
}

/// The indexes that there are, and their bytes.
///
/// # Errors
/// Their folder cannot be read.
pub fn indexes() -> Result<Vec<(PathBuf, u64)>> {
    let folder = folder()?;
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| Error::io("read", &folder, &error))?,
    };
    let size = |path: PathBuf| Some((path.metadata().ok()?.len(), path));
    let files = entries.flatten().filter_map(|entry| size(entry.path()));
    let mut indexes: Vec<(PathBuf, u64)> = files
        .filter(|(_, path)| path.extension().is_some_and(|ending| ending == ENDING))
        .map(|(bytes, path)| (path, bytes))
        .collect();
    indexes.sort();
    Ok(indexes)
}

/// All indexes that there are: what is heard of a file does not change with its tags, whichever model has
/// heard it.
#[derive(Default)]
pub struct All(OnceCell<Vec<Connection>>);

impl All {
    /// Those that can be opened when the first file has another tag: a scan may have begun one by then.
    fn open(&self) -> &[Connection] {
        self.0.get_or_init(|| {
            let indexes = indexes().unwrap_or_default();
            indexes.iter().filter_map(|(path, _)| connect(path).ok()).collect()
        })
    }

    /// The file at `path`, which was in the state `before`, has another tag and is in the state `after`. One
    /// that cannot be told hears the file again.
    pub fn follow(&self, path: &Path, before: State, after: State, fingerprint: Hash) {
        for index in self.open() {
            let _ = index.execute(
                "UPDATE songs SET size = ?, modified = ?, status = ?, fingerprint = ? \
                 WHERE path = ? AND size = ? AND modified = ?",
                params![
                    after.size as i64,
                    after.modified,
                    after.status,
                    fingerprint.as_bytes(),
                    bytes(path),
                    before.size as i64,
                    before.modified
                ],
            );
        }
    }
}

/// Forgets everything that any model has heard.
///
/// # Errors
/// A file cannot be removed.
pub fn clear() -> Result<()> {
    let folder = folder()?;
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove", &folder, &error))
        }
        _ => Ok(()),
    }
}

impl Index {
    /// Opens the index of what `listener` names: any text that states the model and how it listens. `name`
    /// is for people. A database that a disk has garbled is set aside.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn open(
        name: &str,
        listener: &str,
        labels: &Arc<[String]>,
        clip_seconds: f64,
    ) -> Result<Self> {
        let folder = folder()?;
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder).map_err(|error| Error::io("make", &folder, &error))?;
        }
        let hash = blake3::hash(format!("{FORMAT} {listener}").as_bytes()).to_hex();
        let path = folder.join(format!("{name}-{}.{ENDING}", &hash[..16]));
        let mut set_aside_as = None;
        let (connection, read_only) = match connect(&path) {
            Err(error) if is_garbled(&error) => {
                set_aside_as = Some(set_aside(&path)?);
                (connect(&path), false)
            }
            Err(error) if path.exists() && is_withheld(&error) => (connect_to_read(&path), true),
            other => (other, false),
        };
        Ok(Self {
            connection: connection.map_err(|error| failed(&path, &error))?,
            path,
            labels: Arc::clone(labels),
            clip_seconds,
            waiting: Vec::new(),
            committed: Instant::now(),
            read_only,
            garbled: Cell::new(false),
            set_aside_as,
        })
    }

    fn told<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| {
            self.garbled.set(self.garbled.get() || is_garbled(&error));
            failed(&self.path, &error)
        })
    }

    /// Where the one lies that a disk had garbled, and in whose place this one was begun.
    pub fn set_aside_as(&self) -> Option<&Path> {
        self.set_aside_as.as_deref()
    }

    /// Whether another program has removed it.
    pub fn is_gone(&self) -> bool {
        is_gone(&self.path)
    }

    /// What a row says. One that a disk has garbled is as good as none.
    fn row<T>(&self, read: rusqlite::Result<Option<T>>) -> Result<Option<T>> {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType,
        };
        match read {
            Err(
                FromSqlConversionFailure(..)
                | IntegralValueOutOfRange(..)
                | InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..),
            ) => Ok(None),
            read => self.told(read),
        }
    }

    /// Whether it can be read only.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// Sets it aside if a disk has garbled it, so that the next scan begins another.
    pub fn retire(self) {
        if self.garbled.get() {
            // What cannot be moved is told again the next time.
            let _ = set_aside(&self.path);
        }
    }

    /// What is known of the file at `path`, which has no links in it.
    ///
    /// # Errors
    /// The database cannot be read; so of all that follow.
    pub fn known(&self, path: &Path) -> Result<Option<Known>> {
        let query = "SELECT size, modified, status, fingerprint, device FROM songs WHERE path = ?";
        self.row(
            self.connection
                .prepare_cached(query)
                .and_then(|mut query| query.query_row([bytes(path)], known_of).optional()),
        )
    }

    /// Whether any file of this size is known: only then can a new one be an old one that was moved.
    pub fn has_size(&self, size: u64) -> Result<bool> {
        let query = "SELECT EXISTS (SELECT 1 FROM songs WHERE size = ?)";
        self.told(
            self.connection
                .prepare_cached(query)
                .and_then(|mut query| query.query_row([size as i64], |row| row.get(0))),
        )
    }

    /// A path at which the same file was heard by a device that `counts`: one of this fingerprint, size and
    /// time of change.
    pub fn heard_at(
        &self,
        fingerprint: Hash,
        state: State,
        counts: impl Fn(&str) -> bool,
    ) -> Result<Option<PathBuf>> {
        let query =
            "SELECT path, device FROM songs WHERE fingerprint = ? AND size = ? AND modified = ?";
        self.told(self.connection.prepare_cached(query).and_then(|mut query| {
            let key = params![fingerprint.as_bytes(), state.size as i64, state.modified];
            let rows = query.query_map(key, |row| {
                Ok((path_of(row.get_ref(0)?.as_blob()?), row.get::<_, String>(1)?))
            })?;
            // A row that a disk has garbled is none.
            Ok(rows.flatten().find(|(_, device)| counts(device)).map(|(path, _)| path))
        }))
    }

    /// What was said of the file at `path`: bit for bit what the model gave. Clip by clip only where
    /// `timeline` asks for it.
    pub fn prediction(&self, path: &Path, timeline: bool) -> Result<Option<Prediction>> {
        let query = match timeline {
            true => {
                "SELECT duration, marks, probabilities, embedding, clips FROM songs WHERE path = ?"
            }
            false => "SELECT duration, marks, probabilities, embedding FROM songs WHERE path = ?",
        };
        let read = |row: &Row<'_>| {
            let (duration, marks): (f64, u8) = (row.get(0)?, row.get(1)?);
            let whole = Heard { probabilities: numbers(row, 2)?, embedding: numbers(row, 3)? };
            let clips =
                if timeline { clips_of(&numbers(row, 4)?, self.labels.len()) } else { Vec::new() };
            let [truncated, damaged, silent] = [1, 2, 4].map(|mark| marks & mark != 0);
            let of_clips = Prediction::of_clips(&self.labels, clips, self.clip_seconds, duration);
            let prediction = of_clips.with_whole(&self.labels, whole);
            Ok(Prediction { truncated, damaged, silent, ..prediction })
        };
        self.row(
            self.connection
                .prepare_cached(query)
                .and_then(|mut query| query.query_row([bytes(path)], read).optional()),
        )
    }

    /// Performer and title of the file at `path`, as its tags name them.
    pub fn credits(&self, path: &Path) -> Result<Option<Credits>> {
        let query = "SELECT performer, title FROM songs WHERE path = ?";
        self.row(self.connection.prepare_cached(query).and_then(|mut query| {
            let read = |row: &Row<'_>| {
                let (performer, title) = (row.get(0)?, row.get(1)?);
                Ok(Credits { performer, title, ..Credits::default() })
            };
            query.query_row([bytes(path)], read).optional()
        }))
    }

    /// Keeps what was said of the file at `path`, on the disk once it is committed.
    pub fn put(&mut self, path: &Path, known: Known, credits: Credits, prediction: &Prediction) {
        let (path, prediction) = (bytes(path).to_vec(), prediction.clone());
        self.waiting.push(Waiting { path, known, credits, prediction });
    }

    /// Brings everything to the disk, unless that was done a moment ago.
    pub fn commit_in_time(&mut self) -> Result<()> {
        match self.committed.elapsed() > COMMIT_EVERY {
            true => self.commit(),
            false => Ok(()),
        }
    }

    /// Brings everything to the disk.
    pub fn commit(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        self.committed = Instant::now();
        if waiting.is_empty() || self.read_only {
            return Ok(());
        }
        let mut write = || {
            let change = begin(&mut self.connection)?;
            for row in &waiting {
                let Known { state, fingerprint, device } = &row.known;
                let Prediction { duration, truncated, damaged, silent, embedding, .. } =
                    &row.prediction;
                let marks = u8::from(*truncated) + 2 * u8::from(*damaged) + 4 * u8::from(*silent);
                change
                    .prepare_cached(
                        "INSERT OR REPLACE INTO songs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    )?
                    .execute(params![
                        row.path,
                        state.size as i64,
                        state.modified,
                        state.status,
                        fingerprint.as_bytes(),
                        device,
                        row.credits.performer,
                        row.credits.title,
                        duration,
                        marks,
                        bytemuck::cast_slice::<f32, u8>(row.prediction.moods.probabilities()),
                        bytemuck::cast_slice::<f32, u8>(embedding),
                        bytemuck::cast_slice::<f32, u8>(&clips_to(
                            &row.prediction,
                            self.clip_seconds
                        )),
                    ])?;
            }
            change.commit()
        };
        let written = write();
        self.told(written)
    }

    /// Files that were heard at the first of two paths are at the second now, in a state, or there as well.
    /// All change places at once: names may have been exchanged.
    pub fn move_or_copy(&mut self, moves: &[(PathBuf, PathBuf, State)]) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let mut apply = || {
            let change = begin(&mut self.connection)?;
            change.execute_batch("CREATE TEMP TABLE moved AS SELECT * FROM songs WHERE 0")?;
            for (from, to, state) in moves {
                change
                    .prepare_cached(
                        "INSERT INTO moved SELECT ?, size, modified, ?, fingerprint, device, performer, \
                         title, duration, marks, probabilities, embedding, clips FROM songs WHERE path = ?",
                    )?
                    .execute(params![bytes(to), state.status, bytes(from)])?;
            }
            for (from, ..) in moves.iter().filter(|(from, ..)| is_gone(from)) {
                change
                    .prepare_cached("DELETE FROM songs WHERE path = ?")?
                    .execute([bytes(from)])?;
            }
            change.execute_batch(
                "INSERT OR REPLACE INTO songs SELECT * FROM moved; DROP TABLE moved",
            )?;
            change.commit()
        };
        let applied = apply();
        self.told(applied)
    }

    /// The file at `path` is in another state, and its content is the same.
    pub fn follow(&mut self, path: &Path, state: State) -> Result<()> {
        if self.read_only {
            return Ok(());
        }
        let changed = self.connection.execute(
            "UPDATE songs SET modified = ?, status = ? WHERE path = ?",
            params![state.modified, state.status, bytes(path)],
        );
        self.told(changed).map(|_| ())
    }

    /// Forgets the files in `folder` that are not among `there` and are no longer on the disk. Returns how
    /// many. What lies in one of `unlisted` cannot be seen, and stays; so does what lay in a folder that is empty
    /// now, as the place of a disk that is unplugged is, which is put into `emptied`.
    pub fn forget_gone(
        &mut self,
        folder: &Path,
        there: &HashSet<PathBuf>,
        unlisted: &[PathBuf],
        emptied: &mut BTreeSet<PathBuf>,
    ) -> Result<usize> {
        if self.read_only {
            return Ok(0);
        }
        let mut first = bytes(folder).to_vec();
        if first.last() != Some(&SEPARATOR) {
            first.push(SEPARATOR);
        }
        let mut behind = first.clone();
        *behind.last_mut().expect("a separator") += 1;
        let mut gone = Vec::new();
        let query = "SELECT path FROM songs WHERE path >= ? AND path < ?";
        let rows = self.connection.prepare_cached(query).and_then(|mut query| {
            let rows = query.query_map(params![first, behind], |row| row.get::<_, Vec<u8>>(0))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        for row in self.told(rows)? {
            let path = path_of(&row);
            let hidden = unlisted.iter().any(|folder| path.starts_with(folder));
            if there.contains(&path) || hidden || !is_gone(&path) {
                continue;
            }
            match empty_home(&path, folder) {
                Some(home) => drop(emptied.insert(home)),
                None => gone.push(row),
            }
        }
        let mut forget = || {
            let change = begin(&mut self.connection)?;
            for path in &gone {
                change.prepare_cached("DELETE FROM songs WHERE path = ?")?.execute([path])?;
            }
            change.commit()
        };
        let forgotten = forget();
        self.told(forgotten)?;
        Ok(gone.len())
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        // What cannot be kept is heard again.
        let _ = self.commit();
    }
}

#[cfg(windows)]
const SEPARATOR: u8 = b'\\';
#[cfg(not(windows))]
const SEPARATOR: u8 = b'/';

/// A change by which this scan waits for others that write; one that has read first could not.
fn begin(connection: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    connection.transaction_with_behavior(TransactionBehavior::Immediate)
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    // Readers and a writer do not wait for each other. Where a file system cannot do it, they do.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS songs (
            path BLOB PRIMARY KEY,
            size INTEGER NOT NULL,
            modified INTEGER NOT NULL,  -- nanoseconds since 1970
            status INTEGER NOT NULL,    -- the same of its name and rights
            fingerprint BLOB NOT NULL,
            device TEXT NOT NULL,
            performer TEXT,
            title TEXT,
            duration REAL NOT NULL,     -- seconds
            marks INTEGER NOT NULL,     -- 1 cut short, 2 damaged, 4 silent
            probabilities BLOB NOT NULL, -- float32 of each label
            embedding BLOB NOT NULL,    -- float32
            clips BLOB NOT NULL         -- float32: of each clip its place, then its probabilities
        );
        CREATE INDEX IF NOT EXISTS by_size ON songs (size);
        CREATE INDEX IF NOT EXISTS by_fingerprint ON songs (fingerprint);",
    )?;
    Ok(connection)
}

/// Opens one whose folder can be read only, and which nobody writes therefore.
fn connect_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let mut address = "file:".to_owned();
    for &byte in bytes(path) {
        match byte {
            b'?' | b'#' | b'%' | 128.. => address.push_str(&format!("%{byte:02x}")),
            _ => address.push(byte.into()),
        }
    }
    Connection::open_with_flags(
        address + "?immutable=1",
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
    )
}

/// The folder below `root` where a file that is gone has lain, directly or below, if there is nothing in it.
fn empty_home(path: &Path, root: &Path) -> Option<PathBuf> {
    let home = path.ancestors().skip(1).find(|folder| folder.is_dir())?;
    let empty = || std::fs::read_dir(home).is_ok_and(|mut entries| entries.next().is_none());
    (home != root && home.starts_with(root) && empty()).then(|| home.to_owned())
}

/// Moves a database out of the way, with what belongs to it.
fn set_aside(path: &Path) -> Result<PathBuf> {
    for more in ["-wal", "-shm"] {
        let mut beside = path.as_os_str().to_owned();
        beside.push(more);
        // There is none where the program that wrote it has ended well.
        let _ = std::fs::remove_file(beside);
    }
    let aside = path.with_extension("broken");
    std::fs::rename(path, &aside).map_err(|error| Error::io("move", path, &error))?;
    Ok(aside)
}

/// Whether the file or its folder cannot be written.
fn is_withheld(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied))
}

fn is_garbled(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

fn failed(path: &Path, error: &rusqlite::Error) -> Error {
    Error::failure(format!("the index {} cannot be used ({error})", path.display()))
}

fn known_of(row: &Row<'_>) -> rusqlite::Result<Known> {
    Ok(Known {
        state: State {
            size: row.get::<_, i64>(0)? as u64,
            modified: row.get(1)?,
            status: row.get(2)?,
        },
        fingerprint: Hash::from_bytes(row.get(3)?),
        device: row.get(4)?,
    })
}

fn numbers(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<f32>> {
    Ok(bytemuck::pod_collect_to_vec(row.get_ref(column)?.as_blob()?))
}

/// Every clip's place, then its probabilities.
fn clips_to(prediction: &Prediction, clip_seconds: f64) -> Vec<f32> {
    let clips = prediction.timeline.iter().flat_map(|span| {
        let place = (span.start / clip_seconds).round() as f32;
        std::iter::once(place).chain(span.moods.probabilities().iter().copied())
    });
    clips.collect()
}

fn clips_of(numbers: &[f32], labels: usize) -> Vec<(usize, Heard)> {
    let clips = numbers.chunks_exact(labels + 1).map(|clip| {
        let heard = Heard { probabilities: clip[1..].to_vec(), embedding: Vec::new() };
        (clip[0] as usize, heard)
    });
    clips.collect()
}
