//! Writing moods into tags, and taking it back.

use std::path::Path;

use crate::cli::list_errors;
use crate::files::path_text;
use crate::predict::library::{All, State, fingerprint};
use crate::predict::tags::log::{self, Log, Logged, Own, OwnMoods};
use crate::predict::tags::{self, Change};
use crate::report::{Progress, audio_files};
use crate::{Error, Result};

/// What `--write-tags` does, or would do.
pub struct Tagging<'a> {
    progress: &'a Progress,
    /// Moods of others are replaced, too.
    replaces: bool,
    /// Nothing where nothing is to be written.
    log: Option<Log>,
    /// The moods of this program in each file.
    own: Own,
    /// What models have heard of the files stays true.
    indexes: All,
    /// Files with another tag than before.
    changed: usize,
    /// Files with moods of others, which stay.
    kept: usize,
}

impl<'a> Tagging<'a> {
    /// # Errors
    /// The log cannot be written, or an older one cannot be read.
    pub fn new(progress: &'a Progress, dry_run: bool, replaces: bool) -> Result<Self> {
        let log = Log::new(dry_run, &|text| progress.note(text))?;
        let (own, unread) = log::own_moods()?;
        for error in unread {
            progress.note(&format!("warning: {error}: its moods count as others'"));
        }
        Ok(Self { progress, replaces, log, own, indexes: All::default(), changed: 0, kept: 0 })
    }

    /// Lets the tag of the file at `path` name `moods`, behind those that others have put there; says and
    /// logs what that changes. Whether something changes.
    ///
    /// # Errors
    /// The file is left as it is.
    pub fn tag(&mut self, path: &Path, moods: &[&str]) -> Result<bool> {
        if moods.is_empty() && self.own(path).is_none_or(OwnMoods::is_empty) {
            return Ok(false);
        }
        let before = tags::moods(path)?;
        let mut after = self.of_others(path, &before);
        self.kept += usize::from(!after.is_empty());
        let new = |mood: &&&str| !after.iter().any(|other| other.eq_ignore_ascii_case(mood));
        let own: Vec<String> = moods.iter().filter(new).map(|mood| (*mood).to_owned()).collect();
        after.extend(own.iter().cloned());
        let change = tags::preview(path, &after)?;
        if !change.is_needed() {
            return Ok(false);
        }
        match &mut self.log {
            None => self.say(path, &change, "would say"),
            Some(log) => {
                log.note(path, &change, &own)?;
                write(path, &after, &self.indexes).inspect_err(|_| log.take_back())?;
                self.say(path, &change, "says");
            }
        }
        self.changed += 1;
        Ok(true)
    }

    /// What this program has written into the file.
    fn own(&self, path: &Path) -> Option<&OwnMoods> {
        self.own.get(&path.canonicalize().ok()?)
    }

    /// Those of the moods that a file names which this program has not written there.
    fn of_others(&self, path: &Path, moods: &[String]) -> Vec<String> {
        if self.replaces {
            return Vec::new();
        }
        let own = self.own(path).map(|own| own.among(moods));
        let is_own = |mood: &&String| own.is_some_and(|own| own.contains(*mood));
        moods.iter().filter(|mood| !is_own(mood)).cloned().collect()
    }

    /// What a dry run would write is what was asked for, so that it shows even when quiet.
    fn say(&self, path: &Path, change: &Change, says: &str) {
        let text = format!("{}: {}", path_text(path), told(change, says));
        match self.log {
            None => self.progress.always(&text),
            Some(_) => self.progress.note(&text),
        }
    }

    /// What was done in all.
    pub fn notes(&self) {
        let note = |number: usize, what: &str| {
            if number > 0 {
                self.progress.note(&format!("{} {what}", audio_files(number)));
            }
        };
        note(
            self.changed,
            match self.log {
                None => "would get another tag MOOD; nothing was written",
                Some(_) => "with a new tag MOOD",
            },
        );
        note(
            self.kept,
            "with moods that this program did not write, which stay in front (--replace-existing puts its \
             own in their place)",
        );
        if let Some(path) = self.log.as_ref().and_then(Log::path) {
            self.progress.note(&format!(
                "what has changed is in {0}; to take it back: moodshader predict --undo {0}",
                path.display()
            ));
        }
    }
}

/// Writes the tag, and lets the indexes know that the file sounds as it did.
fn write(path: &Path, moods: &[String], indexes: &All) -> Result<()> {
    let real = path.canonicalize().map_err(|error| Error::io("find", path, &error))?;
    let before = State::of(&real);
    tags::write(path, moods)?;
    if let (Ok(before), Ok(after), Ok(fingerprint)) = (before, State::of(&real), fingerprint(&real))
    {
        indexes.follow(&real, before, after, fingerprint);
    }
    Ok(())
}

/// "MOOD says dark; calm instead of nothing".
fn told(change: &Change, says: &str) -> String {
    let named = |moods: &[String]| match moods {
        [] => "nothing".to_owned(),
        moods => moods.join("; "),
    };
    format!("{} {says} {} instead of {}", change.field, named(&change.after), named(&change.before))
}

/// Gives every file of a log the moods that it named before; one that has others by now is left as it is.
/// What is done is logged as well.
///
/// # Errors
/// Files that cannot be changed, all in one message.
pub fn undo(path: &Path, dry_run: bool, progress: &Progress) -> Result<()> {
    let mut changes = log::read(path)?;
    // The last change is taken back first.
    changes.reverse();
    let mut log = Log::new(dry_run, &|text| progress.note(text))?;
    let indexes = All::default();
    let (mut undone, mut failed) = (0, Vec::new());
    for change in &changes {
        match undo_one(change, log.as_mut(), &indexes, progress) {
            Ok(changed) => undone += usize::from(changed),
            Err(error) => failed.push(error),
        }
    }
    let as_before = match dry_run {
        true => "would name the moods that they named before; nothing was written",
        false => "name the moods that they named before",
    };
    progress.note(&format!("{} {as_before}", audio_files(undone)));
    match failed.is_empty() {
        true => Ok(()),
        false => Err(list_errors(
            &format!("{} of {} changes are not taken back:", failed.len(), changes.len()),
            &failed,
        )),
    }
}

fn undo_one(
    logged: &Logged,
    log: Option<&mut Log>,
    indexes: &All,
    progress: &Progress,
) -> Result<bool> {
    let Logged { path, before, after } = logged;
    let now = tags::moods(path)?;
    if now == *before {
        return Ok(false);
    }
    if now != *after {
        return Err(Error::input(format!(
            "{} names {} by now, which is not what was written; it is left as it is",
            path.display(),
            if now.is_empty() { "nothing".to_owned() } else { now.join("; ") }
        )));
    }
    let change = tags::preview(path, before)?;
    let says = match log {
        None => "would say",
        Some(log) => {
            log.note(path, &change, &[])?;
            write(path, before, indexes).inspect_err(|_| log.take_back())?;
            "says"
        }
    };
    progress.note(&format!("{}: {}", path_text(path), told(&change, says)));
    Ok(true)
}
