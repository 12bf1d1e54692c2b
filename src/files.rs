//! Files that appear whole or not at all, never in the place of what they are made from, and their
//! names.

mod letters;
mod names;

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result};
pub use letters::{ByLetters, name_alike};
pub use names::{
    LONGEST_NAME, address_path, fitting_name, names_note, path_from_text, path_line, path_of,
    path_text, terminal_text,
};

/// What the name of a file has behind it until the file is whole.
pub const PARTIAL: &str = ".partial";

/// Writes `bytes` to `PATH.partial`, waits until the disk has them, and moves the file to `path`. Programs
/// that do so at once do it one after the other.
///
/// # Errors
/// A folder that does not exist or cannot be written, a full disk; what was at `path` is then as it
/// was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial(path);
    let write = || {
        let mut file = alone(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| {
        // Whatever stopped the write is the error to tell, not what this says.
        let _ = std::fs::remove_file(&partial);
        Error::io("write", path, &error)
    })?;
    // The move itself lies in the folder; where a folder cannot be opened there is nothing to do.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Ok(folder) = File::open(folder.unwrap_or(Path::new("."))) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// An empty file at `path`, once no other program writes it.
fn alone(path: &Path) -> std::io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        // A disk without locks has no others to wait for that could be told.
        let _ = file.lock();
        // What another program has written meanwhile has another name now.
        if identity_of(&file).is_none_or(|own| identity(path) == Some(own)) {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// What is written before it becomes `path`.
fn partial(path: &Path) -> PathBuf {
    let mut partial = OsString::from(path);
    partial.push(PARTIAL);
    partial.into()
}

/// Makes sure, before any work, that [`write_atomically`] can write `output`, and that this replaces
/// none of `inputs`.
///
/// # Errors
/// It is an input, or something that is no file; its folder does not exist or cannot be written.
pub fn check_output<P: AsRef<Path>>(
    output: &Path,
    inputs: impl IntoIterator<Item = P>,
) -> Result<()> {
    let partial = partial(output);
    check_distinct([output, &partial], inputs)?;
    if std::fs::metadata(output).is_ok_and(|there| !there.is_file()) {
        return Err(Error::input(format!(
            "{} is there and is not a file; name another",
            output.display()
        )));
    }
    // Under a name of its own, since another program may be writing the output.
    let probe = successor(output);
    let allowed = OpenOptions::new().append(true).create(true).open(&probe);
    let allowed = allowed.and_then(|_| std::fs::remove_file(&probe));
    let allowed = allowed.and_then(|()| match partial.exists() {
        true => OpenOptions::new().append(true).open(&partial).map(|_| ()),
        false => Ok(()),
    });
    allowed.map_err(|error| {
        Error::io("write", output, &error)
            .followed_by("its folder has to be there and to allow new files; name another file")
    })
}

/// Refuses outputs that would replace an input, under whatever name.
///
/// # Errors
/// The first that would.
pub fn check_distinct<P: AsRef<Path>, Q: AsRef<Path>>(
    outputs: impl IntoIterator<Item = P>,
    inputs: impl IntoIterator<Item = Q>,
) -> Result<()> {
    let there = |output: P| Some((identity(output.as_ref())?, output));
    let outputs: Vec<_> = outputs.into_iter().filter_map(there).collect();
    if outputs.is_empty() {
        return Ok(());
    }
    let inputs: HashSet<_> =
        inputs.into_iter().filter_map(|input| identity(input.as_ref())).collect();
    match outputs.iter().find(|(identity, _)| inputs.contains(identity)) {
        None => Ok(()),
        Some((_, output)) => Err(Error::input(format!(
            "{} is an input, and would be overwritten; name another file",
            output.as_ref().display()
        ))),
    }
}

/// How the file at `path` is named from `folder`, so that both can move together: where it lies below the
/// folder, or in another folder beside it. Else by its whole path. Links are resolved in both.
///
/// # Errors
/// The current folder is unknown.
pub fn named_from(path: &Path, folder: &Path) -> Result<PathBuf> {
    let whole = |path: &Path| {
        let absolute = || std::path::absolute(path);
        path.canonicalize().or_else(|_| absolute()).map_err(|error| Error::io("find", path, &error))
    };
    // A file that is a link keeps its name.
    let place = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if parent.as_os_str().is_empty() => {
            whole(Path::new("."))?.join(name)
        }
        (Some(parent), Some(name)) => whole(parent)?.join(name),
        _ => whole(path)?,
    };
    let folder = whole(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?;
    if let Ok(below) = place.strip_prefix(&folder) {
        return Ok(below.to_owned());
    }
    let beside = folder.parent().filter(|around| around.parent().is_some());
    Ok(match beside.map(|around| place.strip_prefix(around)) {
        Some(Ok(beside)) => Path::new("..").join(beside),
        _ => place,
    })
}

/// The same for every name of a file; `None` where there is none.
#[cfg(unix)]
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|file| numbers(&file))
}

/// The [`identity`] of an open file; `None` where it cannot be told.
#[cfg(unix)]
fn identity_of(file: &File) -> Option<(u64, u64)> {
    file.metadata().ok().map(|file| numbers(&file))
}

#[cfg(unix)]
fn numbers(file: &std::fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (file.dev(), file.ino())
}

/// The same for every name of a file; `None` where there is none.
#[cfg(not(unix))]
pub fn identity(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

/// Here an open file cannot be told from another.
#[cfg(not(unix))]
fn identity_of(_: &File) -> Option<PathBuf> {
    None
}

/// Bytes of a file's name in that of its successor, so that this fits wherever the file's does.
const NAMED: usize = 64;
/// A leftover that has stood for so long belongs to no running program.
const STALE: Duration = Duration::from_secs(60 * 60);

/// Where this process writes a file that is to take the place of the one at `path`:
/// `.NAME.moodshader-PROCESS`.
pub fn successor(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut end = name.len().min(NAMED);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    path.with_file_name(format!(".{}.moodshader-{}", &name[..end], std::process::id()))
}

/// Whether the name is that of a file which was to take another's place: one that a killed process
/// has left, or that is being written.
pub fn is_leftover(path: &Path) -> bool {
    writer(path).is_some()
}

/// Whether it has stood for an hour.
pub fn is_stale(path: &Path) -> bool {
    let age = || path.metadata().ok()?.modified().ok()?.elapsed().ok();
    age().is_some_and(|age| age > STALE)
}

/// Whether the process that wrote it has ended, on this machine.
pub fn is_abandoned(path: &Path) -> bool {
    writer(path).is_some_and(|process| is_stale(path) || has_ended(process))
}

/// The process whose [`successor`] this is, or whose `NAME.npy.PROCESS.partial` by an earlier version.
fn writer(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_string_lossy();
    let successor = || Some(name.strip_prefix('.')?.rsplit_once(".moodshader-")?.1);
    let partial = || {
        let (array, process) = name.strip_suffix(".partial")?.rsplit_once('.')?;
        array.ends_with(".npy").then_some(process)
    };
    let digits = successor().or_else(partial)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(unix)]
fn has_ended(process: u32) -> bool {
    use rustix::io::Errno;
    use rustix::process::{Pid, test_kill_process};

    let id = i32::try_from(process).ok().and_then(Pid::from_raw);
    id.is_none_or(|id| test_kill_process(id) == Err(Errno::SRCH))
}

#[cfg(not(unix))]
fn has_ended(_: u32) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::write_atomically;

    /// Several programs that write one file at once take turns, and none of them fails.
    #[test]
    fn writers_at_once_leave_one_whole_file() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("list.m3u8");
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write_atomically(path, &vec![writer; 100_000 + usize::from(writer)])
                            .unwrap();
                        let whole = std::fs::read(path).unwrap();
                        assert_eq!(whole.len(), 100_000 + usize::from(whole[0]));
                        assert!(whole.iter().all(|byte| *byte == whole[0]));
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
    }
}
