//! The playlists that `predict` writes.

use std::cell::LazyCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::Predict;
use crate::audio::Credits;
use crate::cli::check_result;
use crate::model::checkpoint::Description;
use crate::predict::playlist::{self, Entry};
use crate::predict::{Choice, Prediction};
use crate::report::{Progress, audio_files};
use crate::{Error, Result};

/// What a playlist is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The files, for every player.
    M3u8,
    /// A rule by which Navidrome fills it from the tag MOOD.
    Nsp,
}

impl Kind {
    fn ending(self) -> &'static str {
        match self {
            Self::M3u8 => "m3u8",
            Self::Nsp => "nsp",
        }
    }
}

/// The name that stands for the playlists of all moods.
const ALL: &str = "all";

struct Playlist {
    mood: String,
    path: PathBuf,
    entries: Vec<Entry>,
}

/// All that were asked for.
pub struct Playlists {
    kind: Kind,
    size: Option<usize>,
    lists: Vec<Playlist>,
}

impl Playlists {
    /// What would go wrong after hours is found before.
    ///
    /// # Errors
    /// A mood that the model does not know or that has no threshold; a file in the way.
    pub fn new(
        command: &Predict,
        inputs: &[PathBuf],
        choice: &Choice,
        description: &Description,
    ) -> Result<Self> {
        let folder = command.playlist_out.as_deref().unwrap_or(Path::new(""));
        if command.playlist_out.is_some() {
            std::fs::create_dir_all(folder)
                .map_err(|error| Error::io("make", folder, &error).context("--playlist-out"))?;
        }
        let mut lists: Vec<Playlist> = Vec::new();
        let kind = command.playlist_format;
        let tagged =
            |mood: &str| kind != Kind::Nsp || description.moods().iter().any(|tag| tag == mood);
        for mood in moods(command, choice, description, &tagged)? {
            if lists.iter().any(|list| list.mood == mood) {
                continue;
            }
            let path = folder.join(playlist::file_name(&mood, kind.ending()));
            playlist::check_free(&path)?;
            check_result(&path, inputs)?;
            lists.push(Playlist { mood, path, entries: Vec::new() });
        }
        let size = command.playlist_size.map(std::num::NonZeroUsize::get);
        Ok(Self { kind, size, lists })
    }

    /// Puts a song into those whose mood it has. `credits` is asked for one that is.
    pub fn take(
        &mut self,
        path: &Path,
        prediction: &Prediction,
        choice: &Choice,
        credits: impl FnOnce() -> Credits,
    ) {
        let credits = LazyCell::new(credits);
        for list in &mut self.lists {
            let probability = prediction.moods.get(&list.mood).unwrap_or(0.0);
            if choice.reaches(&list.mood, probability) {
                let (path, duration) = (path.to_owned(), prediction.duration);
                list.entries.push(Entry { path, duration, probability, credits: credits.clone() });
            }
        }
    }

    /// Writes them. Files that cannot stand in a playlist are returned, once each.
    ///
    /// # Errors
    /// One cannot be written.
    pub fn write(mut self, progress: &Progress) -> Result<Vec<Error>> {
        let mut left_out = BTreeSet::new();
        for list in &mut self.lists {
            if self.kind == Kind::Nsp {
                playlist::write_rule(&list.path, &list.mood, self.size)?;
                progress.note(&format!(
                    "{} finds what --write-tags has tagged {}",
                    list.path.display(),
                    list.mood
                ));
                continue;
            }
            list.entries.sort_by(|a, b| b.probability.total_cmp(&a.probability));
            let reaching = list.entries.len();
            list.entries.truncate(self.size.unwrap_or(usize::MAX));
            let without = playlist::write(&list.path, &list.mood, &list.entries)?;
            let written = list.entries.len() - without.len();
            progress.note(&match (written, reaching > list.entries.len()) {
                (0, _) => format!(
                    "the playlist {} is empty: no file reaches the threshold of {}",
                    list.path.display(),
                    list.mood
                ),
                (_, false) => format!("{} in {}", audio_files(written), list.path.display()),
                (_, true) => format!(
                    "{} in {}, the most probable of {reaching}",
                    audio_files(written),
                    list.path.display()
                ),
            });
            left_out.extend(without.into_iter().map(|entry| entry.path.clone()));
        }
        Ok(left_out.iter().map(|path| playlist::left_out(path)).collect())
    }
}

/// The moods that `--playlist` means: for `all`, those of the model's moods that have a threshold. All have to
/// be such as can be `tagged` where a rule looks for the tag.
fn moods(
    command: &Predict,
    choice: &Choice,
    description: &Description,
    tagged: &dyn Fn(&str) -> bool,
) -> Result<Vec<String>> {
    let (asked, precise) = (&command.playlist, command.min_precision.is_some());
    let mut moods = Vec::new();
    for mood in asked {
        match choice.label(mood) {
            Ok(known) if !tagged(known) => {
                return Err(Error::input(format!(
                    "--playlist {known}: it is no mood, so that no tag names it and Navidrome finds nothing"
                )));
            }
            Ok(known) if choice.threshold(known).is_some() => moods.push(known.to_owned()),
            Ok(known) => return Err(without_threshold(known, description, precise)),
            Err(_) if mood == ALL => {
                let with_threshold = |mood: &&String| choice.threshold(mood).is_some();
                moods.extend(description.moods().iter().filter(with_threshold).cloned());
            }
            Err(error) => return Err(error.context("--playlist")),
        }
    }
    match asked.is_empty() || !moods.is_empty() {
        true => Ok(moods),
        false => Err(without_threshold(ALL, description, precise)),
    }
}

fn without_threshold(mood: &str, description: &Description, precise: bool) -> Error {
    let why = match description.thresholds {
        _ if precise => "from no probability on is it as precise as --min-precision asks for",
        None => "the checkpoint has no thresholds; best.safetensors of a run has them",
        Some(_) => {
            "there is no threshold for it, since too few validation clips had it to choose one"
        }
    };
    Error::input(format!("--playlist {mood}: {why}; --threshold MOOD=PROBABILITY names one"))
}
