//! Scanning a library: what a model has heard before is taken from its [`Index`], and only what is new or
//! has changed is heard.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use std::vec::IntoIter;

use super::files::{Amount, Told, predict_files};
pub use super::index::{All, clear, indexes};
use super::index::{Index, Known};
use super::prediction::Prediction;
use super::state::is_gone;
pub use super::state::{State, fingerprint};
use super::tagger::Tagger;
use crate::audio::{Credits, credits};
use crate::dataset::features::FeatureRecipe;
use crate::model::checkpoint::Checkpoint;
use crate::{Error, Result};

/// A file that was changed less than this ago may be in the midst of being written.
const SETTLED: Duration = Duration::from_secs(1);

/// How the files of a scan compare with what is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Heard for the first time.
    pub new: usize,
    /// Heard again, since they have changed.
    pub changed: usize,
    /// Not heard, since they are files that were heard elsewhere and have moved or were copied.
    pub moved: usize,
    /// Not heard, since they are as they were.
    pub unchanged: usize,
    /// Left for the next scan, since another program is writing them.
    pub unfinished: usize,
}

/// What becomes of a file.
#[derive(Debug)]
pub enum Outcome {
    /// What the model says of it, now or when it was heard.
    Heard(Prediction),
    /// It cannot be used.
    Failed(Error),
    /// Another program is writing it: it is left for the next scan.
    Unfinished,
}

/// What is said of a file that is [`Outcome::Unfinished`].
pub fn unfinished(file: &Path) -> Error {
    Error::input(format!(
        "{} is being written by another program; run the same command again when it is done",
        file.display()
    ))
}

/// How a library is scanned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Hears everything, also what is known.
    pub again: bool,
    /// Takes only what the same device has computed, not what another has.
    pub same_device: bool,
    /// Gives the timelines of what is known, too.
    pub timeline: bool,
}

/// A file as it was before anything was heard.
struct Seen {
    /// Without links; as it was given where that cannot be told.
    path: PathBuf,
    /// Nothing where there is no such file.
    state: Option<State>,
    kind: Kind,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    /// As everything is without an index.
    #[default]
    New,
    Changed,
    Known,
    /// It was known, or heard, and has changed since the scan began.
    Again,
}

/// Hands over what becomes of a file, by its place in the list.
type Done<'a> = &'a mut dyn FnMut(&mut Library, usize, Outcome) -> Result<()>;

/// Files are told in the list's order, whenever they are complete.
struct Turns<'a> {
    options: Options,
    counts: Counts,
    /// Files that are known.
    known: Peekable<IntoIter<usize>>,
    /// Those that are heard in this round, and how many of them were told.
    asked: Vec<usize>,
    told: usize,
    /// By the place among these, what waits for its turn; nothing of a file that has to be heard again.
    complete: BTreeMap<usize, Option<Outcome>>,
    /// What the index cannot tell after all, and what has changed meanwhile: it is heard in the next round.
    untold: Vec<usize>,
    done: Done<'a>,
}

/// All that one model, or several that answer together, have heard.
pub struct Library {
    /// Nothing where it cannot be used, and why not.
    index: Result<Index>,
    device: String,
    /// The files of the last scan.
    seen: Vec<Seen>,
    /// About how many milliseconds of them are heard, done and in all.
    work: [u64; 2],
}

impl Library {
    /// Opens the index of what `tagger`, made of `checkpoints`, hears on `device`
    /// ([`Device::identity`](crate::exec::Device::identity)); `name` is the model's, for people. Where it
    /// cannot be opened, everything is heard and nothing kept: [`Self::problem`] says why.
    pub fn open(
        name: &str,
        checkpoints: &[Checkpoint],
        tagger: &mut Tagger,
        device: String,
    ) -> Self {
        tagger.set_embedding(true);
        let recipe = FeatureRecipe::of(&tagger.description().preset);
        let windows = tagger.windows().map_or("all".to_owned(), |windows| windows.to_string());
        let models: Vec<String> = checkpoints.iter().map(Checkpoint::hash).collect();
        let listener = format!("{recipe} heard={windows} {}", models.join(" "));
        let index = Index::open(name, &listener, tagger.moods(), tagger.clip_seconds());
        Self { index, device, seen: Vec::new(), work: [0; 2] }
    }

    /// Why the index cannot be used as it was, where it cannot.
    pub fn problem(&self) -> Option<String> {
        let why = match &self.index {
            Ok(index) if index.is_read_only() => {
                return Some(
                    "warning: the index can be read only: nothing is kept for the next time"
                        .to_owned(),
                );
            }
            Ok(index) if index.is_gone() => {
                return Some(
                    "warning: the index was removed while this ran: what was heard is not kept"
                        .to_owned(),
                );
            }
            Ok(index) => {
                return index.set_aside_as().map(|aside| {
                    format!(
                        "warning: the index was damaged, and everything is heard again; what was left of it is {}",
                        aside.display()
                    )
                });
            }
            Err(error) => error,
        };
        Some(format!("warning: {why}: everything is heard, and nothing is kept for the next time"))
    }

    /// Asks the index. One that fails is done without from there on: what was heard is not lost for that.
    fn with<T: Default>(&mut self, ask: impl FnOnce(&mut Index) -> Result<T>) -> T {
        let Ok(index) = &mut self.index else { return T::default() };
        ask(index).unwrap_or_else(|error| {
            if let Ok(index) = std::mem::replace(&mut self.index, Err(error)) {
                index.retire();
            }
            T::default()
        })
    }

    /// Predicts `files` and hands what becomes of each to `done` with its place in the list, in the list's
    /// order. Once `stop` is set, no more is heard, and what is not complete is left out. Whatever happens,
    /// what is complete is in the index.
    ///
    /// # Errors
    /// The device fails, or `done` returns an error.
    pub fn scan(
        &mut self,
        tagger: &mut Tagger,
        files: &[PathBuf],
        options: Options,
        stop: &AtomicBool,
        done: Done<'_>,
    ) -> Result<(Amount, Counts)> {
        let mut counts = Counts::default();
        self.look(files, options, &mut counts);
        let most = tagger.windows().map(|windows| windows as f64 * tagger.clip_seconds());
        let work = |seen: &Seen| match seen.kind {
            Kind::Known => 0,
            Kind::New | Kind::Changed | Kind::Again => {
                let seconds = seconds_about(&seen.path, seen.state.map_or(0, |state| state.size));
                (1e3 * most.map_or(seconds, |most| most.min(seconds))) as u64
            }
        };
        let work: Vec<u64> = self.seen.iter().map(work).collect();
        self.work = [0, work.iter().sum()];
        let (known, asked): (Vec<usize>, Vec<usize>) =
            (0..files.len()).partition(|&file| self.seen[file].kind == Kind::Known);
        let known = known.into_iter().peekable();
        let (complete, told, untold) = (BTreeMap::new(), 0, Vec::new());
        let mut turns = Turns { options, counts, known, asked, told, complete, untold, done };
        let mut total = Amount::default();
        loop {
            let heard: Vec<PathBuf> = turns.asked.iter().map(|&file| files[file].clone()).collect();
            let amount = predict_files(tagger, &heard, stop, &mut |told| {
                let Told::File(place, result) = told else {
                    self.with(Index::commit_in_time);
                    return Ok(());
                };
                let file = turns.asked[place];
                self.work[0] += work[file];
                let outcome = self.keep(file, result, &mut turns.counts);
                turns.complete.insert(place, outcome);
                while let Some(outcome) = turns.complete.remove(&turns.told) {
                    self.hand_over(turns.told, outcome, &mut turns)?;
                    turns.told += 1;
                }
                Ok(())
            });
            self.with(Index::commit);
            // A stop and a failure of the device leave gaps.
            let mut rest = std::mem::take(&mut turns.complete).into_iter();
            let rest =
                rest.try_for_each(|(place, outcome)| self.hand_over(place, outcome, &mut turns));
            let amount = amount.and_then(|amount| rest.map(|()| amount))?;
            total.files += amount.files;
            total.clips += amount.clips;
            total.seconds += amount.seconds;
            while let Some(rest) = turns.known.next() {
                self.tell(rest, &mut turns)?;
            }
            (turns.asked, turns.told) = (std::mem::take(&mut turns.untold), 0);
            if turns.asked.is_empty() {
                return Ok((total, turns.counts));
            }
        }
    }

    /// Hands over what became of a file that was asked for, by its place among these, behind those that are
    /// known before it.
    fn hand_over(
        &mut self,
        place: usize,
        outcome: Option<Outcome>,
        turns: &mut Turns<'_>,
    ) -> Result<()> {
        let file = turns.asked[place];
        while let Some(before) = turns.known.next_if(|&known| known < file) {
            self.tell(before, turns)?;
        }
        match outcome {
            Some(outcome) => (turns.done)(self, file, outcome),
            None => {
                turns.untold.push(file);
                Ok(())
            }
        }
    }

    /// Hands over what is known of a file, unless the file has changed meanwhile.
    fn tell(&mut self, file: usize, turns: &mut Turns<'_>) -> Result<()> {
        let seen = &self.seen[file];
        let path = seen.path.clone();
        let prediction = match State::of(&path).ok() == seen.state {
            true => self.with(|index| index.prediction(&path, turns.options.timeline)),
            false => None,
        };
        match prediction {
            Some(prediction) => (turns.done)(self, file, Outcome::Heard(prediction)),
            None => {
                turns.counts.unchanged = turns.counts.unchanged.saturating_sub(1);
                self.see_again(file);
                turns.untold.push(file);
                Ok(())
            }
        }
    }

    /// A file is to be heard in the next round, as it is by now.
    fn see_again(&mut self, file: usize) {
        let seen = &mut self.seen[file];
        seen.state = State::of(&seen.path).ok();
        seen.kind = Kind::Again;
    }

    /// Compares the files with what is known of them.
    fn look(&mut self, files: &[PathBuf], options: Options, counts: &mut Counts) {
        let mut moves = Vec::new();
        let device = options.same_device.then(|| self.device.clone());
        let counts_for = |known: &str| device.as_ref().is_none_or(|own| own == known);
        self.seen.clear();
        for file in files {
            let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
            let state = State::of(&path).ok();
            let (kind, from) = match state {
                Some(state) if !options.again => {
                    self.with(|index| kind(index, &path, state, counts_for))
                }
                _ => Default::default(),
            };
            if let (Some(from), Some(state)) = (&from, state) {
                moves.push((from.clone(), path.clone(), state));
                counts.moved += 1;
            } else if kind == Kind::Known {
                counts.unchanged += 1;
            }
            self.seen.push(Seen { path, state, kind });
        }
        if !moves.is_empty() {
            self.with(|index| index.move_or_copy(&moves));
        }
    }

    /// Puts what was heard of a file into the index. Nothing where it has changed since the scan began, and
    /// is done: then it is heard in the next round.
    fn keep(
        &mut self,
        file: usize,
        result: Result<Prediction>,
        counts: &mut Counts,
    ) -> Option<Outcome> {
        let Seen { path, state, kind } = &self.seen[file];
        let (path, state, kind) = (path.clone(), *state, *kind);
        if let Some(state) = state
            && !is_gone(&path)
            && is_unfinished(&path, state)
        {
            if kind != Kind::Again && is_settled(&path) {
                self.see_again(file);
                return None;
            }
            counts.unfinished += 1;
            return Some(Outcome::Unfinished);
        }
        let prediction = match result {
            Ok(prediction) => prediction,
            Err(error) => return Some(Outcome::Failed(error)),
        };
        match kind {
            Kind::New => counts.new += 1,
            Kind::Changed | Kind::Known | Kind::Again => counts.changed += 1,
        }
        if let (Some(state), Ok(fingerprint)) = (state, fingerprint(&path)) {
            let known = Known { state, fingerprint, device: self.device.clone() };
            self.with(|index| {
                index.put(&path, known, credits(&path), &prediction);
                Ok(())
            });
        }
        Some(Outcome::Heard(prediction))
    }

    /// How much of what has to be heard in a scan is done, and how much there is in all. Files that are known
    /// take nothing.
    pub fn work(&self) -> [u64; 2] {
        self.work
    }

    /// Performer and title of a file of the last scan.
    pub fn credits(&mut self, file: usize) -> Credits {
        let path = self.seen[file].path.clone();
        self.with(|index| index.credits(&path)).unwrap_or_else(|| credits(&path))
    }

    /// Brings what was heard to the disk.
    pub fn commit(&mut self) {
        self.with(Index::commit);
    }

    /// Forgets what was in `folders`, was not found by the last scan, and is no longer on the disk; what
    /// lies in `unlisted` folders cannot be seen and stays, and so does what lay in folders that are empty now.
    /// Returns how many files are forgotten, and those folders.
    pub fn forget_gone(
        &mut self,
        folders: &[PathBuf],
        unlisted: &[PathBuf],
    ) -> (usize, BTreeSet<PathBuf>) {
        let real = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().filter_map(|path| path.canonicalize().ok()).collect()
        };
        let (folders, unlisted) = (real(folders), real(unlisted));
        let there: HashSet<PathBuf> = self.seen.iter().map(|seen| seen.path.clone()).collect();
        let mut emptied = BTreeSet::new();
        let gone = folders.iter().map(|folder| {
            self.with(|index| index.forget_gone(folder, &there, &unlisted, &mut emptied))
        });
        (gone.sum(), emptied)
    }

    /// Those of `files` that were music when they were heard last.
    pub fn known_among<'a>(&mut self, files: &'a [PathBuf]) -> Vec<&'a Path> {
        let mut known = |file: &&Path| {
            let path = file.canonicalize().unwrap_or_else(|_| file.to_path_buf());
            self.with(|index| index.known(&path)).is_some()
        };
        files.iter().map(PathBuf::as_path).filter(|file| known(file)).collect()
    }
}

/// Whether what `index` knows is about the file at `path`; and a path under which it knows it else.
fn kind(
    index: &mut Index,
    path: &Path,
    state: State,
    counts: impl Fn(&str) -> bool,
) -> Result<(Kind, Option<PathBuf>)> {
    let known = index.known(path)?;
    if let Some(known) = &known
        && known.state.has_content_of(state)
    {
        if !counts(&known.device) {
            return Ok((Kind::New, None));
        }
        if known.state == state {
            return Ok((Kind::Known, None));
        }
        // Its rights have changed, or another file of its size and time has its name.
        if fingerprint(path).is_ok_and(|own| own == known.fingerprint) {
            index.follow(path, state)?;
            return Ok((Kind::Known, None));
        }
    }
    let other = if known.is_some() { Kind::Changed } else { Kind::New };
    if !index.has_size(state.size)? {
        return Ok((other, None));
    }
    let Ok(fingerprint) = fingerprint(path) else { return Ok((other, None)) };
    Ok(match index.heard_at(fingerprint, state, counts)? {
        Some(from) => (Kind::Known, Some(from)),
        None => (other, None),
    })
}

/// Whether the file has changed since it was in `state`, or may be about to: one that was changed a moment
/// ago is looked at again.
fn is_unfinished(path: &Path, state: State) -> bool {
    let changed = || State::of(path).ok() != Some(state);
    if changed() {
        return true;
    }
    match state.age().and_then(|age| SETTLED.checked_sub(age)) {
        Some(rest) => {
            std::thread::sleep(rest);
            changed()
        }
        None => false,
    }
}

/// Whether the file was changed long enough ago.
fn is_settled(path: &Path) -> bool {
    let age = State::of(path).ok().map(State::age);
    age.is_some_and(|age| age.is_none_or(|age| age > SETTLED))
}

/// About how many seconds of music a file of `size` bytes has, by what its ending promises.
fn seconds_about(path: &Path, size: u64) -> f64 {
    let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
    let bytes_a_second = match ending.to_str() {
        Some("wav" | "wave" | "w64" | "aif" | "aiff" | "aifc" | "caf") => 176_400.0,
        Some("flac" | "alac") => 100_000.0,
        Some("opus") => 16_000.0,
        _ => 28_000.0,
    };
    size as f64 / bytes_a_second
}
