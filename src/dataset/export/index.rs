//! What the arrays in a folder were made from.
//!
//! `sources.jsonl` has a line for every array that was written: its name, the audio file, hashes of
//! that file's content, of the recipe and of the array. The last line about an array counts. Lines
//! are appended in one write each, before the array gets its name, so that runs at once lose
//! nothing; where a kill comes between, the hash tells that the array is not the line's. A line
//! that is damaged, and a file that is gone, cost only the making of the arrays anew.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::files::path_text;
use crate::{Error, Result};

/// The index's name in the folder.
const INDEX: &str = "sources.jsonl";

/// A line: what an array was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The array's name in the folder.
    pub array: String,
    /// The audio file, absolute.
    pub audio: String,
    /// Hash of the audio file's content.
    pub content: String,
    /// Hash of the recipe's text.
    pub recipe: String,
    /// Hash of the array's bytes.
    pub hash: String,
    /// What was wrong with the audio.
    #[serde(flatten)]
    pub flaws: Flaws,
}

/// What can be wrong with a file's audio that it is still used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flaws {
    /// It is shorter than a clip.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub padded: bool,
    /// It ends before its header says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// It has parts that cannot be decoded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub damaged: bool,
}

/// The index of one folder, as it was when opened.
pub struct Index {
    sources: HashMap<String, Source>,
}

impl Index {
    /// Reads the index of `folder`; one that is not there is empty.
    ///
    /// # Errors
    /// The file is there and cannot be read.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(INDEX);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io("read", &path, &error)),
        };
        let sources = String::from_utf8_lossy(&text)
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .map(|source: Source| (source.array.clone(), source))
            .collect();
        Ok(Self { sources })
    }

    /// What the array of this name was made from.
    pub fn source(&self, array: &str) -> Option<&Source> {
        self.sources.get(array)
    }
}

/// Adds a line to the index of `folder`.
///
/// # Errors
/// The file cannot be written.
pub fn append(folder: &Path, source: &Source) -> Result<()> {
    let path = folder.join(INDEX);
    let line = serde_json::to_string(source)
        .map_err(|error| Error::failure(format!("{}: {error}", path.display())))?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
        .map_err(|error| Error::io("write", &path, &error))
}

/// How the index names a file, wherever it is called from.
pub fn place(audio: &Path) -> String {
    path_text(&audio.canonicalize().unwrap_or_else(|_| audio.to_owned()))
}

/// How the index names an array.
pub fn name(array: &Path) -> String {
    path_text(Path::new(array.file_name().unwrap_or_default()))
}
