//! The files that `predict` is asked about.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::Predict;
use crate::audio::{Found, find_audio};
use crate::files::names_note;
use crate::predict::playlist;
use crate::run::RunFolder;
use crate::{Error, Result};

/// What the paths mean.
#[derive(Default)]
pub struct Asked {
    pub found: Found,
    /// Folders among the paths.
    pub folders: Vec<PathBuf>,
    /// Folders inside them that cannot be listed.
    pub unlisted: Vec<PathBuf>,
    failed: Vec<Error>,
}

impl Asked {
    /// # Errors
    /// There is no audio file at all; the list of files cannot be read.
    pub fn by(command: &Predict) -> Result<Self> {
        let mut asked = Self::default();
        for path in paths(command)? {
            if playlist::is_playlist(&path) {
                match playlist::read(&path) {
                    Ok(listed) => listed.iter().for_each(|path| asked.add(path)),
                    Err(error) => asked.failed.push(error),
                }
            } else {
                asked.add(&path);
            }
        }
        asked.found.drop_repeated();
        for (folder, error) in asked.found.unlisted.drain(..) {
            asked.unlisted.push(folder);
            asked.failed.push(error);
        }
        // Nothing new is no fault of whoever lists what is new.
        let may_be_empty = command.files_from.is_some() && asked.failed.is_empty();
        if asked.found.files.is_empty() && !may_be_empty {
            let nothing = || {
                let lists: Vec<String> =
                    lists(command).iter().map(|list| list.display().to_string()).collect();
                Error::input(format!("{} names no file", lists.join(", ")))
            };
            return Err(asked.failed.pop().unwrap_or_else(nothing));
        }
        Ok(asked)
    }

    fn add(&mut self, path: &Path) {
        if path.is_dir() && RunFolder::at(path).has_results() {
            self.failed.push(Error::input(format!(
                "{0} is a run, and not music; --model {0} lets its model answer",
                path.display()
            )));
            return;
        }
        match find_audio(&[path.to_owned()]) {
            Ok(found) => {
                self.found.extend(found);
                if path.is_dir() {
                    self.folders.push(path.to_owned());
                }
            }
            Err(error) => self.failed.push(error),
        }
    }

    /// The files, each once.
    pub fn files(&self) -> &[PathBuf] {
        &self.found.files
    }

    /// What was passed over, and names that are not text.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.found.notes().chain(names_note(&self.found.files))
    }

    /// What is wrong with paths that mean nothing and with folders that cannot be listed.
    pub fn failed(&mut self) -> Vec<Error> {
        std::mem::take(&mut self.failed)
    }
}

/// The files that list others.
pub fn lists(command: &Predict) -> Vec<PathBuf> {
    let playlists = command.paths.iter().filter(|path| playlist::is_playlist(path));
    playlists.chain(&command.files_from).cloned().collect()
}

/// The paths of the command line, then those of --files-from.
fn paths(command: &Predict) -> Result<Vec<PathBuf>> {
    let mut paths = command.paths.clone();
    if let Some(list) = command.files_from.as_ref().filter(|list| playlist::is_playlist(list)) {
        paths.push(list.clone());
    } else if let Some(list) = &command.files_from {
        let mut bytes = Vec::new();
        match list.as_os_str() == "-" {
            true => std::io::stdin().read_to_end(&mut bytes),
            false => std::fs::File::open(list).and_then(|mut file| file.read_to_end(&mut bytes)),
        }
        .map_err(|error| Error::io("read", list, &error))?;
        let end = if bytes.contains(&0) { 0 } else { b'\n' };
        let is_m3u = bytes.starts_with(b"#EXTM3U") || bytes.starts_with(b"\xef\xbb\xbf#EXTM3U");
        let is_file =
            |path: &PathBuf| !(is_m3u && path.as_os_str().as_encoded_bytes().starts_with(b"#"));
        paths.extend(playlist::paths_in(&bytes, end).into_iter().filter(is_file));
    }
    Ok(paths)
}
