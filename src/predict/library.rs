//! Scanning a library: what a model has heard before is taken from its [`Index`], and only what is new or
//! has changed is heard.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::files::{Amount, Told, predict_files};
use super::index::{Index, Known};
pub use super::index::{clear, indexes};
use super::prediction::Prediction;
use super::state::{State, fingerprint, is_gone};
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
}

/// Hands over what becomes of a file, by its place in the list.
type Done<'a> = &'a mut dyn FnMut(&mut Library, usize, Outcome) -> Result<()>;

/// All that one model, or several that answer together, have heard.
pub struct Library {
    /// Nothing where it cannot be used, and why not.
    index: Result<Index>,
    device: String,
    /// The files of the last scan.
    seen: Vec<Seen>,
    /// What hearing them takes, done and in all: bytes where all of a file is heard, files where some clips
    /// are.
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

    /// Why the index cannot be used, where it cannot.
    pub fn problem(&self) -> Option<String> {
        let error = self.index.as_ref().err()?;
        Some(format!(
            "warning: {error}: everything is heard, and nothing is kept for the next time"
        ))
    }

    /// Asks the index. One that fails is done without from there on: what was heard is not lost for that.
    fn with<T: Default>(&mut self, ask: impl FnOnce(&mut Index) -> Result<T>) -> T {
        let Ok(index) = &mut self.index else { return T::default() };
        ask(index).unwrap_or_else(|error| {
            self.index = Err(error);
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
        let mut seen = Vec::with_capacity(files.len());
        for file in files {
            seen.push(self.look(file, options, &mut counts));
        }
        self.seen = seen;
        let all_is_heard = tagger.windows().is_none();
        let work = |seen: &Seen| match seen.kind {
            Kind::Known => 0,
            Kind::New | Kind::Changed if all_is_heard => seen.state.map_or(0, |state| state.size),
            Kind::New | Kind::Changed => 1,
        };
        let work: Vec<u64> = self.seen.iter().map(work).collect();
        self.work = [0, work.iter().sum()];
        let (known, mut asked): (Vec<usize>, Vec<usize>) =
            (0..files.len()).partition(|&file| self.seen[file].kind == Kind::Known);
        let mut known = known.into_iter().peekable();
        // What the index cannot tell after all is heard in a second round.
        let mut untold = Vec::new();
        let mut total = Amount::default();
        loop {
            let heard: Vec<PathBuf> = asked.iter().map(|&file| files[file].clone()).collect();
            let amount = predict_files(tagger, &heard, stop, &mut |told| {
                let Told::File(place, result) = told else {
                    self.with(Index::commit_in_time);
                    return Ok(());
                };
                let file = asked[place];
                while let Some(before) = known.next_if(|&known| known < file) {
                    self.tell(before, options, &mut untold, done)?;
                }
                self.work[0] += work[file];
                let outcome = self.keep(file, result, &mut counts);
                done(self, file, outcome)
            });
            self.with(Index::commit);
            let amount = amount?;
            total.files += amount.files;
            total.clips += amount.clips;
            total.seconds += amount.seconds;
            for rest in known.by_ref() {
                self.tell(rest, options, &mut untold, done)?;
            }
            asked = std::mem::take(&mut untold);
            if asked.is_empty() {
                return Ok((total, counts));
            }
        }
    }

    /// Hands over what is known of a file.
    fn tell(
        &mut self,
        file: usize,
        options: Options,
        untold: &mut Vec<usize>,
        done: Done<'_>,
    ) -> Result<()> {
        let path = self.seen[file].path.clone();
        match self.with(|index| index.prediction(&path, options.timeline)) {
            Some(prediction) => done(self, file, Outcome::Heard(prediction)),
            None => {
                untold.push(file);
                Ok(())
            }
        }
    }

    fn look(&mut self, file: &Path, options: Options, counts: &mut Counts) -> Seen {
        let path = file.canonicalize().unwrap_or_else(|_| file.to_owned());
        let state = State::of(&path).ok();
        let kind = match state {
            Some(state) if !options.again => {
                let device = options.same_device.then(|| self.device.clone());
                let counts_for = |known: &str| device.as_ref().is_none_or(|own| own == known);
                self.with(|index| kind(index, &path, state, counts, counts_for))
            }
            _ => Kind::New,
        };
        Seen { path, state, kind }
    }

    /// Puts what was heard of a file into the index.
    fn keep(&mut self, file: usize, result: Result<Prediction>, counts: &mut Counts) -> Outcome {
        let Seen { path, state, kind } = &self.seen[file];
        let (path, kind) = (path.clone(), *kind);
        if let Some(state) = *state
            && !is_gone(&path)
            && is_unfinished(&path, state)
        {
            counts.unfinished += 1;
            return Outcome::Unfinished;
        }
        let prediction = match result {
            Ok(prediction) => prediction,
            Err(error) => return Outcome::Failed(error),
        };
        match kind {
            Kind::Changed => counts.changed += 1,
            Kind::New | Kind::Known => counts.new += 1,
        }
        if let (Some(state), Ok(fingerprint)) = (*state, fingerprint(&path)) {
            let known = Known { state, fingerprint, device: self.device.clone() };
            self.with(|index| {
                index.put(&path, known, credits(&path), &prediction);
                Ok(())
            });
        }
        Outcome::Heard(prediction)
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

    /// A file of the last scan was given another tag: it sounds as it did.
    pub fn was_tagged(&mut self, file: usize) {
        let path = self.seen[file].path.clone();
        let (Ok(state), Ok(fingerprint)) = (State::of(&path), fingerprint(&path)) else { return };
        self.with(|index| {
            index.commit()?;
            index.follow(&path, state, fingerprint)
        });
    }

    /// Forgets what was in `folders`, was not found by the last scan, and is no longer on the disk; what
    /// lies in `unlisted` folders cannot be seen and stays. Returns how many files.
    pub fn forget_gone(&mut self, folders: &[PathBuf], unlisted: &[PathBuf]) -> usize {
        let real = |paths: &[PathBuf]| -> Vec<PathBuf> {
            paths.iter().filter_map(|path| path.canonicalize().ok()).collect()
        };
        let (folders, unlisted) = (real(folders), real(unlisted));
        let there: HashSet<PathBuf> = self.seen.iter().map(|seen| seen.path.clone()).collect();
        let forget = |index: &mut Index, folder| index.forget_gone(folder, &there, &unlisted);
        folders.iter().map(|folder| self.with(|index| forget(index, folder))).sum()
    }
}

/// Whether what `index` knows is about the file at `path`, or about one that this file is, too.
fn kind(
    index: &mut Index,
    path: &Path,
    state: State,
    counts: &mut Counts,
    counts_for: impl Fn(&str) -> bool,
) -> Result<Kind> {
    if let Some(known) = index.known(path)? {
        if !counts_for(&known.device) {
            return Ok(Kind::New);
        }
        if known.state != state {
            // Its time may be all that has changed.
            match fingerprint(path) {
                Ok(same) if same == known.fingerprint => index.follow(path, state, same)?,
                _ => return Ok(Kind::Changed),
            }
        }
        counts.unchanged += 1;
        return Ok(Kind::Known);
    }
    if !index.has_size(state.size)? {
        return Ok(Kind::New);
    }
    let Ok(fingerprint) = fingerprint(path) else { return Ok(Kind::New) };
    let same = index.same(fingerprint)?;
    let Some((from, _)) = same.iter().find(|(_, known)| counts_for(&known.device)) else {
        return Ok(Kind::New);
    };
    index.move_or_copy(from, path, state)?;
    counts.moved += 1;
    Ok(Kind::Known)
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
