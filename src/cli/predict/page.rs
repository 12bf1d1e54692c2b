//! The page of a library that `--report` writes.

use std::path::{Path, PathBuf};

use crate::audio::Credits;
use crate::cli::check_result;
use crate::files::{named_from, path_text, write_atomically};
use crate::model::checkpoint::Description;
use crate::predict::Prediction;
use crate::report::library::{About, Song, page};
use crate::report::{Progress, audio_files};
use crate::{Error, Result};

/// A page in the making.
pub struct Page {
    path: PathBuf,
    /// Its folder.
    folder: PathBuf,
    model: String,
    description: Description,
    /// Those of the labels that the page has.
    shown: Vec<String>,
    songs: Vec<Song>,
    silent: usize,
}

impl Page {
    /// # Errors
    /// There can be no file at `path`, one that is no page lies there, or it is one of `inputs`.
    pub fn new(
        path: &Path,
        model: &Path,
        inputs: &[PathBuf],
        description: &Description,
        moods_only: bool,
    ) -> Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(&folder)
                .map_err(|error| Error::io("make", &folder, &error).context("--report"))?;
        }
        check_result(path, inputs)?;
        let is_page = |bytes: &[u8]| bytes.to_ascii_lowercase().starts_with(b"<!doctype html");
        if std::fs::read(path).is_ok_and(|bytes| !is_page(&bytes)) {
            return Err(Error::input(format!(
                "--report: {} is there and is no page; name a file ending in .html",
                path.display()
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            model: model.display().to_string(),
            shown: match moods_only {
                true => description.moods().to_vec(),
                false => description.labels.clone(),
            },
            description: description.clone(),
            songs: Vec::new(),
            silent: 0,
        })
    }

    /// Puts a song on it, whose tag would name `tags`.
    ///
    /// # Errors
    /// The current folder is unknown.
    pub fn take(
        &mut self,
        path: &Path,
        prediction: &Prediction,
        tags: &[&str],
        credits: Credits,
    ) -> Result<()> {
        let labels = &self.shown;
        let place = |tag: &&str| labels.iter().position(|label| label == tag);
        self.silent += usize::from(prediction.silent);
        self.songs.push(Song {
            path: path_text(path),
            address: address(path, &self.folder)?,
            title: credits.title,
            artist: credits.performer,
            seconds: prediction.duration,
            probabilities: labels
                .iter()
                .map(|label| prediction.moods.get(label).unwrap_or(0.0))
                .collect(),
            tags: tags.iter().filter_map(place).collect(),
            embedding: prediction.embedding.clone(),
        });
        Ok(())
    }

    /// # Errors
    /// It would replace one of the songs.
    pub fn check(&self, songs: &[PathBuf]) -> Result<()> {
        check_result(&self.path, songs)
    }

    /// Writes it; so many files are not on it, since they failed.
    ///
    /// # Errors
    /// It cannot be written, or would replace one of the songs.
    pub fn write(&self, failed: usize, songs: &[PathBuf], progress: &Progress) -> Result<()> {
        self.check(songs)?;
        let (labels, source) = (&self.shown, &self.description.source);
        let moods: Vec<bool> =
            labels.iter().map(|label| self.description.moods().contains(label)).collect();
        let about = About {
            model: &self.model,
            source: source.as_deref().unwrap_or_default(),
            labels,
            moods: &moods,
            silent: self.silent,
            failed,
        };
        write_atomically(&self.path, page(&about, &self.songs).as_bytes())?;
        progress.note(&format!("{} on {}", audio_files(self.songs.len()), self.path.display()));
        Ok(())
    }
}

/// Where a browser finds the file from a page in `folder`.
fn address(path: &Path, folder: &Path) -> Result<String> {
    let named = named_from(path, folder)?;
    let text = encoded(&named);
    Ok(match named.is_absolute() {
        true => format!("file://{}{text}", if text.starts_with('/') { "" } else { "/" }),
        false => text,
    })
}

/// As in a web address: what is not a letter, a digit or harmless is `%XX`.
fn encoded(path: &Path) -> String {
    let mut text = String::new();
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                text.push(char::from(byte));
            }
            b'\\' if cfg!(windows) => text.push('/'),
            b':' if cfg!(windows) => text.push(':'),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}
