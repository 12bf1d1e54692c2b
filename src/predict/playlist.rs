//! Playlists: extended M3U in UTF-8, which every player reads. A file name that is not UTF-8 stands there
//! in its own bytes, since by these the player looks for it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::files::{LONGEST_NAME, PARTIAL, fitting_name, write_atomically};
use crate::{Error, Result};

/// Begins every file that this module writes, so that only those are written over.
const MARK: &str = "#EXTM3U\n# written by moodshader\n";

/// A track of a playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The audio file.
    pub path: PathBuf,
    /// In seconds.
    pub duration: f64,
    /// Probability of the playlist's mood.
    pub probability: f32,
}

/// The name of a mood's playlist: `MOOD.m3u8`. What no file may be called is written as in a web
/// address, and so is `%`, so that two moods never have the same: `a/b` is `a%2Fb.m3u8`.
pub fn file_name(mood: &str) -> PathBuf {
    let mut name = String::new();
    for letter in mood.chars() {
        match letter.is_control() || r#"%/\:*?"<>|"#.contains(letter) {
            true => name.push_str(&format!("%{:02X}", u32::from(letter))),
            false => name.push(letter),
        }
    }
    fitting_name(OsStr::new(&name), ".m3u8", LONGEST_NAME - PARTIAL.len()).into()
}

/// Refuses a place where a file lies that is not one of these playlists.
///
/// # Errors
/// There is such a file, or it cannot be read.
pub fn check_free(path: &Path) -> Result<()> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", path, &error)),
        Ok(bytes) if bytes.starts_with(MARK.as_bytes()) => Ok(()),
        Ok(_) => Err(Error::input(format!(
            "{} is in the way, and was not written as a playlist by moodshader; move it, or name \
             another folder with --playlist-out",
            path.display()
        ))),
    }
}

/// Why a file is left out of a playlist.
pub fn left_out(path: &Path) -> Error {
    Error::input(format!(
        "{path:?} cannot stand in a playlist: its name has a line break; rename it"
    ))
}

/// Writes a playlist of `entries`, the most probable first. Files below the playlist's folder are
/// named from there, so that the folder can move; others by their whole path. Returns the entries
/// that are left out, since no playlist can hold a line break.
///
/// # Errors
/// The file cannot be written.
pub fn write<'a>(path: &Path, mood: &str, entries: &'a [Entry]) -> Result<Vec<&'a Entry>> {
    let absolute =
        |path: &Path| std::path::absolute(path).map_err(|error| Error::io("find", path, &error));
    let folder = absolute(path)?.parent().map(Path::to_owned).unwrap_or_default();
    let mut sorted: Vec<&Entry> = entries.iter().collect();
    sorted.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    let mut text = format!("{MARK}#PLAYLIST:{mood}\n").into_bytes();
    let mut left_out = Vec::new();
    for entry in sorted {
        let place = absolute(&entry.path)?;
        let shown = place.strip_prefix(&folder).unwrap_or(&place).as_os_str().as_encoded_bytes();
        if shown.iter().any(|byte| b"\n\r".contains(byte)) {
            left_out.push(entry);
            continue;
        }
        let title = place.file_stem().unwrap_or_default().display();
        text.extend(format!("#EXTINF:{:.0},{title}\n", entry.duration).bytes());
        // A name that begins with # would be taken for a comment.
        text.extend(if shown.starts_with(b"#") { &b"./"[..] } else { b"" });
        text.extend(shown);
        text.push(b'\n');
    }
    write_atomically(path, &text)?;
    Ok(left_out)
}
