//! Playlists: extended M3U in UTF-8, which every player reads, and Navidrome's, which it fills itself. A file
//! name that is not UTF-8 stands in M3U in its own bytes, since by these the player looks for it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::audio::Credits;
use crate::files::{
    ByLetters, LONGEST_NAME, PARTIAL, address_path, fitting_name, named_from, path_of,
    write_atomically,
};
use crate::{Error, Result};

/// Begins every file that this module writes, so that only those are written over.
const MARK: &str = "#EXTM3U\n# written by moodshader\n";
/// The same of Navidrome's.
const RULE_MARK: &str = "{\n  \"comment\": \"written by moodshader\",\n";

/// Endings of playlists that are read.
const ENDINGS: [&str; 2] = ["m3u8", "m3u"];

/// A track of a playlist.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The audio file.
    pub path: PathBuf,
    /// In seconds.
    pub duration: f64,
    /// Probability of the playlist's mood.
    pub probability: f32,
    /// As its tags name it.
    pub credits: Credits,
}

impl Entry {
    /// "PERFORMER - TITLE", or the file's name where its tags say no title, in one line.
    fn title(&self) -> String {
        let name = || self.path.file_stem().unwrap_or_default().display().to_string();
        let title = match (&self.credits.performer, &self.credits.title) {
            (Some(performer), Some(title)) => format!("{performer} - {title}"),
            (None, Some(title)) => title.clone(),
            _ => name(),
        };
        title.replace(['\n', '\r'], " ")
    }
}

/// The name of a mood's playlist: `MOOD.ENDING`. What no file may be called is written as in a web
/// address, and so is `%`, so that two moods never have the same: `a/b` is `a%2Fb.m3u8`.
pub fn file_name(mood: &str, ending: &str) -> PathBuf {
    let mut name = String::new();
    for letter in mood.chars() {
        match letter.is_control() || r#"%/\:*?"<>|"#.contains(letter) {
            true => name.push_str(&format!("%{:02X}", u32::from(letter))),
            false => name.push(letter),
        }
    }
    let ending = format!(".{ending}");
    fitting_name(OsStr::new(&name), &ending, LONGEST_NAME - PARTIAL.len()).into()
}

/// Refuses a place where a file lies that is not one of these playlists.
///
/// # Errors
/// There is such a file, or it cannot be read.
pub fn check_free(path: &Path) -> Result<()> {
    match fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", path, &error)),
        Ok(bytes) if [MARK, RULE_MARK].iter().any(|mark| bytes.starts_with(mark.as_bytes())) => {
            Ok(())
        }
        Ok(_) => Err(Error::input(format!(
            "{} is in the way, and was not written as a playlist by moodshader; move it, or name \
             another place",
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

/// Writes a playlist of `entries` in their order. Files below the playlist's folder, or in one beside it, are
/// named from there, so that all can move together; others by their whole path. Returns the entries that
/// are left out, since no playlist can hold a line break.
///
/// # Errors
/// The file cannot be written.
pub fn write<'a>(path: &Path, mood: &str, entries: &'a [Entry]) -> Result<Vec<&'a Entry>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut text = format!("{MARK}#PLAYLIST:{mood}\n").into_bytes();
    let mut left_out = Vec::new();
    for entry in entries {
        let place = named_from(&entry.path, folder)?;
        let shown = place.as_os_str().as_encoded_bytes();
        if shown.iter().any(|byte| b"\n\r".contains(byte)) {
            left_out.push(entry);
            continue;
        }
        text.extend(format!("#EXTINF:{:.0},{}\n", entry.duration, entry.title()).bytes());
        // A name that begins with # would be taken for a comment.
        text.extend(if shown.starts_with(b"#") { &b"./"[..] } else { b"" });
        text.extend(shown);
        text.push(b'\n');
    }
    write_atomically(path, &text)?;
    Ok(left_out)
}

/// Writes a smart playlist of Navidrome: the songs whose tag MOOD names `mood`, at most `size` of them, drawn
/// anew by Navidrome itself.
///
/// # Errors
/// The file cannot be written.
pub fn write_rule(path: &Path, mood: &str, size: Option<usize>) -> Result<()> {
    let mut rule = format!(
        "{RULE_MARK}  \"name\": {},\n  \"all\": [{}],\n  \"sort\": \"random\"",
        json!(mood),
        json!({"is": {"mood": mood}})
    );
    if let Some(size) = size {
        rule.push_str(&format!(",\n  \"limit\": {size}"));
    }
    rule.push_str("\n}\n");
    write_atomically(path, rule.as_bytes())
}

/// Whether the name is that of a playlist that [`read`] reads.
pub fn is_playlist(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known)) && !path.is_dir()
}

/// The files that a playlist names. What is relative starts at its folder; streams of the web are left out.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(path).map_err(|error| Error::io("read", path, &error))?;
    let bytes = utf_8(bytes);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut by_letters = ByLetters::default();
    let files = paths_in(&bytes, b'\n').into_iter().filter_map(|listed| {
        let text = listed.to_string_lossy();
        match address_path(&text) {
            Some(path) => Some(path),
            None if text.starts_with('#') || text.contains("://") => None,
            None => Some(beside(folder, &listed, &mut by_letters)),
        }
    });
    Ok(files.collect())
}

/// Bytes of UTF-16, which its mark tells, in UTF-8; others as they are.
fn utf_8(bytes: Vec<u8>) -> Vec<u8> {
    let unit = match &bytes[..] {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ => return bytes,
    };
    let units: Vec<u16> =
        bytes[2..].chunks_exact(2).map(|bytes| unit([bytes[0], bytes[1]])).collect();
    String::from_utf16_lossy(&units).into_bytes()
}

/// A file that a playlist in `folder` names. One of Windows has other separators and may be in Windows-1252, one
/// of macOS may write accents in another way.
fn beside(folder: &Path, listed: &Path, by_letters: &mut ByLetters) -> PathBuf {
    let path = folder.join(listed);
    if path.exists() {
        return path;
    }
    let text = match listed.to_str() {
        Some(text) => text.to_owned(),
        None => {
            listed.as_os_str().as_encoded_bytes().iter().map(|&byte| windows_1252(byte)).collect()
        }
    };
    let text = text.replace('\\', "/");
    let named = folder.join(&text);
    match named.exists() {
        true => named,
        false => by_letters.find(folder, Path::new(&text)).unwrap_or(path),
    }
}

/// Differs from Unicode's first letters in 32 places, five of which stand for nothing.
fn windows_1252(byte: u8) -> char {
    #[rustfmt::skip]
    const FROM_80: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}',
        '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9f => FROM_80[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

/// The paths in `bytes`, which `end` ends; line breaks and the first mark of Windows as well as of others.
pub fn paths_in(bytes: &[u8], end: u8) -> Vec<PathBuf> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|&byte| byte == end);
    let lines = lines.map(|line| match end {
        b'\n' => line.strip_suffix(b"\r").unwrap_or(line),
        _ => line,
    });
    lines.filter(|line| !line.trim_ascii().is_empty()).map(path_of).collect()
}
