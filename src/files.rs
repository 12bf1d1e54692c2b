//! Files that appear whole or not at all, and their names.

mod letters;
mod names;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};
pub use letters::{ByLetters, name_alike};
pub use names::{LONGEST_NAME, fitting_name, names_note, path_from_text, path_text};

/// What the name of a file has behind it until the file is whole.
pub const PARTIAL: &str = ".partial";

/// Writes `bytes` to `PATH.partial`, waits until the disk has them, and moves the file to `path`.
///
/// # Errors
/// A folder that does not exist or cannot be written, a full disk; what was at `path` is then as it
/// was.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut partial = OsString::from(path);
    partial.push(PARTIAL);
    let write = || {
        let mut file = File::create(&partial)?;
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

/// Whether the name is that of a file which was to take another's place, `.NAME.moodshader-PROCESS`:
/// one that a killed process has left, or that is being written.
pub fn is_leftover(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_prefix('.').and_then(|name| name.rsplit_once(".moodshader-")).is_some_and(
        |(_, process)| !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit()),
    )
}
