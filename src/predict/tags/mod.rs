//! The tag MOOD in audio files, written as players read it.
//!
//! | file | field |
//! |---|---|
//! | MP3, AAC, WAV, AIFF | ID3v2.4 `TMOO`; in older tags `TXXX:MOOD` (2.3) and `TXX:MOOD` (2.2) |
//! | FLAC, Ogg (Vorbis, Opus, Speex, FLAC) | Vorbis comment `MOOD`, one for each mood |
//! | M4A | `----:com.apple.iTunes:MOOD` |
//!
//! One field is put in or replaced; every other byte is copied, but for numbers that follow from the
//! field's length. What would come out is taken apart again and compared with the file: all parts but
//! the field are the same, in the same order, or the file is left alone. The copy stands beside the
//! file and takes its place by renaming, so that a file is never half-written.

mod chunks;
mod comments;
mod content;
mod flac;
mod id3;
pub mod log;
mod mp4;
mod ogg;
mod replacement;

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;

use content::{Content, Edit};
use replacement::Replacement;
pub use replacement::sweep;

use crate::audio::{Format, sniff};
use crate::{Error, Result};

/// The name of the field where it is free to choose.
const MOOD: &str = "MOOD";
/// Stands between the moods where a field holds one text only.
const SEPARATOR: &str = "; ";

/// Why moods of others cannot be kept as they are, and what to do.
const NOT_TEXT: &str = "a mood in it is no text in the coding that it names, and would be changed; write it anew \
                        with the program that made it, or remove it there";

/// What writing a tag does to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the field is called in this file.
    pub field: &'static str,
    /// The moods that the file names so far.
    pub before: Vec<String>,
    /// The moods that it names afterwards.
    pub after: Vec<String>,
}

impl Change {
    /// Whether there is anything to write.
    pub fn is_needed(&self) -> bool {
        self.before != self.after
    }
}

/// The moods that the file at `path` names.
///
/// # Errors
/// The file cannot be read or taken apart, or may not be written: who asks wants to.
pub fn moods(path: &Path) -> Result<Vec<String>> {
    let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
    let file = open(&path)?;
    let (format, start, content) = begun(&path, &file)?;
    parse(format, &content, start)
        .map(|old| each_once(old.moods()))
        .map_err(|error| refused(&path, error))
}

/// Two fields of a file may name the same.
fn each_once(mut moods: Vec<String>) -> Vec<String> {
    let mut known = HashSet::new();
    moods.retain(|mood| known.insert(mood.clone()));
    moods
}

/// What [`write`] would do to the file at `path`; nothing is written.
///
/// # Errors
/// As [`write`], but for what only the disk can tell.
pub fn preview(path: &Path, moods: &[String]) -> Result<Change> {
    let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
    let file = open(&path)?;
    plan(&path, &file, moods).map(|(change, _)| change)
}

/// Names `moods` in the tag MOOD of the file at `path`, the most important first, in place of what
/// it named before. A link stays a link to the file, which is replaced; other names of the file
/// (hard links) keep what it was.
///
/// # Errors
/// The file cannot be read or replaced, or another part of it would change: it is then as it was.
pub fn write(path: &Path, moods: &[String]) -> Result<Change> {
    let path = path.canonicalize().map_err(|error| Error::io("open", path, &error))?;
    let file = open(&path)?;
    let (change, after) = plan(&path, &file, moods)?;
    if let Some(after) = after {
        Replacement::new(&path, &file)
            .and_then(|mut copy| {
                after.copy_to(&mut copy.file)?;
                copy.take_place(&file)
            })
            .map_err(|error| kept(&path, &error))?;
    }
    Ok(change)
}

fn kept(path: &Path, error: &std::io::Error) -> Error {
    Error::io("replace", path, error).followed_by("the file is as it was")
}

/// A file that may not be written is not replaced either.
fn open(path: &Path) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|error| Error::io("write", path, &error))
}

/// What the file is, where that begins in it, and its bytes.
fn begun<'a>(path: &Path, file: &'a File) -> Result<(Format, u64, Content<'a>)> {
    let (format, start) = sniff(path)?.ok_or_else(|| {
        Error::input(format!("{} does not begin like an audio file", path.display()))
    })?;
    let content = Content::of(file).map_err(|error| Error::io("read", path, &error))?;
    Ok((format, start, content))
}

fn refused(path: &Path, error: Error) -> Error {
    let error = error.context("its tag cannot be written").context(path.display());
    error.followed_by("the file is as it was")
}

/// What naming `moods` changes, and what the file would be if that is needed.
fn plan<'a>(
    path: &Path,
    file: &'a File,
    moods: &[String],
) -> Result<(Change, Option<Content<'a>>)> {
    let (format, start, before) = begun(path, file)?;
    let old = parse(format, &before, start).map_err(|error| refused(path, error))?;
    let change =
        Change { field: old.field(), before: each_once(old.moods()), after: moods.to_vec() };
    if !change.is_needed() {
        return Ok((change, None));
    }
    let edit = || {
        let after = before.edited(old.edits(&before, moods)?);
        let new = parse(format, &after, start)?;
        let named = new.moods().join(SEPARATOR) == moods.join(SEPARATOR);
        match named && same(&before, &old.rest(), &after, &new.rest())? {
            true => Ok(after),
            false => Err(Error::input("another part of it would change")),
        }
    };
    let after = edit().map_err(|error| refused(path, error))?;
    replacement::check(path, file).map_err(|error| kept(path, &error))?;
    Ok((change, Some(after)))
}

/// A part of a file that has to stay as it is.
#[derive(Clone)]
enum Part {
    /// Bytes of the content.
    Kept(Range<u64>),
    /// What was read there.
    Value(Vec<u8>),
}

impl Part {
    fn value(bytes: &[u8]) -> Self {
        Self::Value(bytes.to_vec())
    }

    fn bytes(&self, content: &Content<'_>) -> Result<Vec<u8>> {
        match self {
            Self::Kept(range) => content.read(range.clone()),
            Self::Value(bytes) => Ok(bytes.clone()),
        }
    }
}

/// Whether the parts are the same.
fn same(before: &Content<'_>, old: &[Part], after: &Content<'_>, new: &[Part]) -> Result<bool> {
    for (one, two) in old.iter().zip(new) {
        let same = match (one, two) {
            (Part::Kept(one), Part::Kept(two)) => before.holds(one.clone(), after, two.clone())?,
            _ => one.bytes(before)? == two.bytes(after)?,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(old.len() == new.len())
}

/// A file taken apart, of one of the formats that have tags.
trait Container {
    /// What the field is called in this file.
    fn field(&self) -> &'static str;

    /// The moods that it names.
    fn moods(&self) -> Vec<String>;

    /// What makes it name `moods` instead.
    ///
    /// # Errors
    /// Something would become longer than the format allows.
    fn edits(&self, content: &Content<'_>, moods: &[String]) -> Result<Vec<Edit>>;

    /// All of it but the field, and the numbers that follow from the field's length, in order.
    fn rest(&self) -> Vec<Part>;
}

/// Takes `content` apart; what the format begins with stands at `start`.
fn parse(format: Format, content: &Content<'_>, start: u64) -> Result<Box<dyn Container>> {
    Ok(match format {
        Format::Mp3 | Format::Aac => Box::new(id3::Stream::parse(content)?),
        Format::Wav | Format::Aiff => Box::new(chunks::Chunks::parse(content, start)?),
        Format::Flac => Box::new(flac::Flac::parse(content, start)?),
        Format::Ogg => Box::new(ogg::Ogg::parse(content, start)?),
        Format::Mp4 => Box::new(mp4::Mp4::parse(content, start)?),
        Format::Caf => {
            return Err(Error::input(format!(
                "tags of {format} files are not written; convert it to FLAC or M4A"
            )));
        }
    })
}
