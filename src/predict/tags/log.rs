//! What was written into tags, kept so that it can be taken back, and so that moods of this program can be
//! told from those of others.
//!
//! A log is a CSV file with the columns `path,field,before,after,own`: the file, the field's name in it, the
//! moods that it named, those that it names now, and which of these are this program's. Several moods are
//! joined by `|`; a `|` or `\` inside one has a `\` before it. A line is on the disk before the file is
//! changed, so that a kill leaves no change without one.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use etcetera::BaseStrategy;
use serde::{Deserialize, Serialize};

use super::Change;
use super::replacement::check_folder;
use crate::files::{path_from_text, path_text};
use crate::{Error, Result};

/// The environment variable that names the folder of the logs.
pub const STATE_VARIABLE: &str = "MOODSHADER_STATE";

/// The folder of the logs: `MOODSHADER_STATE`, else `moodshader` in the platform's folder for what programs
/// remember (`~/.local/state` on Linux). It need not exist yet.
///
/// # Errors
/// `MOODSHADER_STATE` is not set and the platform's folder is unknown (no home folder).
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os(STATE_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(folder.into());
    }
    let platform = etcetera::base_strategy::choose_native_strategy().map_err(|error| {
        Error::input(format!(
            "there is no place for the log of tags ({error}); set {STATE_VARIABLE} to a folder"
        ))
    })?;
    let folder = platform.state_dir().unwrap_or_else(|| platform.data_dir());
    Ok(folder.join("moodshader"))
}

/// What a log begins with.
const HEADER: &str = "path,field,before,after,own";
/// Beside the logs: who writes one has this file locked.
const LOCK: &str = ".lock";

/// A line of a log.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    path: String,
    field: String,
    before: String,
    after: String,
    own: String,
}

/// A change that was written, or was about to be when the program was killed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The file, without links.
    pub path: PathBuf,
    /// The moods that it named.
    pub before: Vec<String>,
    /// The moods that it named afterwards.
    pub after: Vec<String>,
}

/// The moods of this program in each file.
pub type Own = HashMap<PathBuf, OwnMoods>;

/// Which moods of a file are this program's. A change that is in a log may not have been made: the program was
/// killed before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnMoods {
    /// What the file named before the last change, and which of that are this program's; and which are after it.
    before: Vec<String>,
    of_before: BTreeSet<String>,
    of_after: BTreeSet<String>,
}

impl OwnMoods {
    /// Those of a file that names these moods.
    pub fn among(&self, named: &[String]) -> &BTreeSet<String> {
        if named == self.before { &self.of_before } else { &self.of_after }
    }

    /// Whether there are none, whichever it names.
    pub fn is_empty(&self) -> bool {
        self.of_before.is_empty() && self.of_after.is_empty()
    }
}

/// A log that is being written. It has no file until there is something to write.
pub struct Log {
    folder: PathBuf,
    open: Option<(PathBuf, File)>,
    /// Bytes in front of the last line.
    last: u64,
    /// Locked as long as the log is written: what another run writes would not be known to be this program's.
    _alone: Option<File>,
}

impl Log {
    /// A log in [`folder`], which is made; none for a dry run, which is told whether there could be one. While
    /// another program writes tags, this one waits, and `waiting` is told.
    ///
    /// # Errors
    /// The folder cannot be made or written.
    pub fn new(dry_run: bool, waiting: &dyn Fn(&str)) -> Result<Option<Self>> {
        let folder = folder()?;
        let advice = format!("set {STATE_VARIABLE} to a folder that can be written");
        if dry_run {
            let there = folder.ancestors().find(|folder| folder.exists());
            return match there.map_or(Ok(()), check_folder) {
                Ok(()) => Ok(None),
                Err(error) => Err(Error::io("write in", &folder, &error).followed_by(&advice)),
            };
        }
        fs::create_dir_all(&folder)
            .map_err(|error| Error::io("make", &folder, &error).followed_by(&advice))?;
        let probe = folder.join(format!(".tags-{}", std::process::id()));
        fs::write(&probe, b"")
            .map_err(|error| Error::io("write in", &folder, &error).followed_by(&advice))?;
        let _ = fs::remove_file(&probe);
        let alone = File::create(folder.join(LOCK)).ok();
        if alone
            .as_ref()
            .is_some_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
        {
            waiting("another run is writing tags; this one waits until it is done");
            // Where there are no locks, nobody can be waited for.
            let _ = alone.as_ref().map(File::lock);
        }
        Ok(Some(Self { folder, open: None, last: 0, _alone: alone }))
    }

    /// Where it lies, once something is in it.
    pub fn path(&self) -> Option<&Path> {
        self.open.as_ref().map(|(path, _)| &**path)
    }

    /// Notes a change of the file at `path` that is about to be written; `own` of the moods afterwards are
    /// this program's.
    ///
    /// # Errors
    /// The disk does not take it.
    pub fn note(&mut self, path: &Path, change: &Change, own: &[String]) -> Result<()> {
        if self.open.is_none() {
            self.open = Some(self.begin()?);
        }
        let (log, file) = self.open.as_mut().expect("just opened");
        let real = path.canonicalize().map_err(|error| Error::io("find", path, &error))?;
        let line = Line {
            path: path_text(&real),
            field: change.field.to_owned(),
            before: joined(&change.before),
            after: joined(&change.after),
            own: joined(own),
        };
        let append = || {
            let end = file.metadata()?.len();
            let mut writer =
                csv::WriterBuilder::new().has_headers(end == 0).from_writer(Vec::new());
            writer.serialize(line)?;
            let bytes = writer.into_inner().map_err(|error| error.into_error())?;
            self.last = end;
            // Half a line would spoil the next.
            file.write_all(&bytes).and_then(|()| file.sync_data()).inspect_err(|_| {
                let _ = file.set_len(end);
            })
        };
        append().map_err(|error: std::io::Error| Error::io("write the log", log, &error))
    }

    /// The change that was noted last could not be made.
    pub fn take_back(&mut self) {
        let Some((path, file)) = &self.open else { return };
        // What cannot be taken back here is seen by what the file names.
        if self.last > 0 {
            let _ = file.set_len(self.last);
        } else {
            let _ = fs::remove_file(path);
            self.open = None;
        }
    }

    /// A new file, named by the time in UTC.
    fn begin(&self) -> Result<(PathBuf, File)> {
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        let time = time.replace([':', '-'], "");
        let mut number = 1;
        loop {
            let more = if number == 1 { String::new() } else { format!("-{number}") };
            let path = self.folder.join(format!("tags-{time}{more}.csv"));
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(Error::io("write the log", &path, &error)),
            }
        }
    }
}

/// The changes in the log at `path`, in their order. The name of one in [`folder`] will do. A last line that a
/// kill has cut off is passed over.
///
/// # Errors
/// It cannot be read, or is no such log.
pub fn read(path: &Path) -> Result<Vec<Logged>> {
    let in_folder = || folder().map(|folder| folder.join(path));
    let path = match path.exists() {
        true => path.to_owned(),
        false => in_folder()?,
    };
    let lines = lines_of(&path)?;
    Ok(lines
        .into_iter()
        .map(|line| Logged {
            path: path_from_text(&line.path).into_owned(),
            before: split(&line.before),
            after: split(&line.after),
        })
        .collect())
}

/// Which of the moods that each file names are this program's, by the last line of all logs about it, and
/// logs that cannot be read.
///
/// # Errors
/// The folder of the logs is unknown.
pub fn own_moods() -> Result<(Own, Vec<Error>)> {
    own_moods_in(&folder()?)
}

fn own_moods_in(folder: &Path) -> Result<(Own, Vec<Error>)> {
    let (mut own, mut unread) = (Own::new(), Vec::new());
    let Ok(entries) = fs::read_dir(folder) else { return Ok((own, unread)) };
    let mut logs: Vec<_> =
        entries.flatten().filter_map(|entry| Some((age(&entry)?, entry.path()))).collect();
    logs.sort();
    for (_, path) in logs {
        match lines_of(&path) {
            Ok(lines) => {
                for line in lines {
                    let path = path_from_text(&line.path).into_owned();
                    let before = split(&line.before);
                    let of_before =
                        own.get(&path).map_or_else(BTreeSet::new, |own| own.among(&before).clone());
                    let of_after = split(&line.own).into_iter().collect();
                    own.insert(path, OwnMoods { before, of_before, of_after });
                }
            }
            Err(error) => unread.push(error),
        }
    }
    Ok((own, unread))
}

/// What orders logs by their time: that of their name, and the number of those of the same second. Nothing
/// where it is no log.
fn age(entry: &fs::DirEntry) -> Option<(String, u32)> {
    let name = entry.file_name().into_string().ok()?;
    let time = name.strip_prefix("tags-")?.strip_suffix(".csv")?;
    Some(match time.rsplit_once('-') {
        None => (time.to_owned(), 1),
        Some((time, number)) => (time.to_owned(), number.parse().ok()?),
    })
}

/// A last line that has no end and is not whole was cut off by a kill, before its file was changed.
fn lines_of(path: &Path) -> Result<Vec<Line>> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, &error))?;
    let parse = |bytes: &[u8]| -> Result<Vec<Line>, csv::Error> {
        csv::Reader::from_reader(bytes).deserialize().collect()
    };
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let is_none = |why: &dyn std::fmt::Display| {
        Error::input(format!(
            "{} is no log of tags that moodshader has written ({why}); --undo takes a tags-….csv",
            path.display()
        ))
    };
    // An empty one has been begun, by its name.
    let named = path.extension().is_some_and(|ending| ending == "csv");
    if !(bytes.is_empty() && named || bytes.starts_with(HEADER.as_bytes())) {
        return Err(is_none(&format_args!("it does not begin with {HEADER}")));
    }
    parse(&bytes).or_else(|_| parse(&bytes[..whole])).map_err(|error| is_none(&error))
}

fn joined(moods: &[String]) -> String {
    let escaped = moods.iter().map(|mood| mood.replace('\\', r"\\").replace('|', r"\|"));
    escaped.collect::<Vec<_>>().join("|")
}

fn split(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let mut moods = vec![String::new()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '|' => moods.push(String::new()),
            '\\' => moods.last_mut().expect("one at least").extend(letters.next()),
            other => moods.last_mut().expect("one at least").push(other),
        }
    }
    moods
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A change that failed was never made; of one before a kill the file tells.
    #[test]
    fn only_changes_that_were_made_count() {
        let place = tempfile::tempdir().unwrap();
        let song = place.path().join("song.mp3");
        fs::write(&song, b"").unwrap();
        let folder = place.path().to_owned();
        let mut log = Log { folder, open: None, last: 0, _alone: None };
        let moods =
            |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        let change = |before: &str, after: &str| Change {
            field: "TMOO",
            before: moods(before),
            after: moods(after),
        };
        log.note(&song, &change("", "happy"), &moods("happy")).unwrap();
        log.take_back();
        assert!(log.path().is_none());
        log.note(&song, &change("own", "own happy"), &moods("happy")).unwrap();
        log.note(&song, &change("own happy", "own sad"), &moods("sad")).unwrap();
        log.take_back();
        let path = log.path().unwrap().to_owned();
        assert_eq!(read(&path).unwrap().len(), 1);
        log.note(&song, &change("own happy", "own dark"), &moods("dark")).unwrap();
        let (own, unread) = own_moods_in(place.path()).unwrap();
        assert!(unread.is_empty());
        let own = &own[&song.canonicalize().unwrap()];
        let among = |named: &str| own.among(&moods(named)).iter().cloned().collect::<Vec<_>>();
        assert_eq!(among("own dark"), ["dark"]);
        assert_eq!(among("own happy"), ["happy"]);
        for other in ["", "path,field\n", "no log\n"] {
            let path = place.path().join("other.txt");
            fs::write(&path, other).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains("is no log of tags"));
        }
    }

    #[test]
    fn moods_of_any_letters_come_back() {
        for moods in [&[][..], &["dark"], &["a|b", r"c\", "d\ne"], &["", "x"]] {
            let moods: Vec<String> = moods.iter().map(|&mood| mood.to_owned()).collect();
            assert_eq!(split(&joined(&moods)), moods);
        }
    }
}
