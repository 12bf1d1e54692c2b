//! What becomes of the answers of a model: they are printed, put into playlists and written into tags.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::asked::{Asked, lists};
use super::page::Page;
use super::playlists::Playlists;
use super::results::Results;
use super::tagging::Tagging;
use super::{Format, Predict};
use crate::cli::{list_errors, model};
use crate::files::path_text;
use crate::model::checkpoint::Description;
use crate::output;
use crate::predict::library::{Library, Outcome, unfinished};
use crate::predict::{Choice, Prediction};
use crate::report::{Bar, Progress, audio_files, clock};
use crate::{Error, Result};

/// Of one scan.
pub struct Answers<'a> {
    command: &'a Predict,
    progress: &'a Progress,
    choice: Choice,
    results: Results<'a>,
    playlists: Option<Playlists>,
    page: Option<Page>,
    tagging: Option<Tagging<'a>>,
    bar: Option<Bar>,
    /// Files that are done, and the length of their music in seconds.
    done: usize,
    seconds: f64,
    /// Files and paths that were asked for.
    asked: usize,
    /// Those that failed, in order.
    pub failed: Vec<Error>,
    /// Files that the model cannot hear.
    broken: Vec<(PathBuf, Error)>,
    unfinished: Vec<PathBuf>,
}

impl<'a> Answers<'a> {
    /// What would go wrong after hours is found before.
    ///
    /// # Errors
    /// A playlist or the log of tags cannot be written.
    pub fn new(
        command: &'a Predict,
        progress: &'a Progress,
        description: &Description,
        choice: Choice,
    ) -> Result<Self> {
        let with_separator = description.moods().iter().find(|mood| mood.contains(';'));
        if let Some(mood) = with_separator.filter(|_| command.write_tags) {
            return Err(Error::input(format!(
                "--write-tags: the mood {mood:?} has a semicolon, by which players take moods of a tag apart; train a \
                 model whose moods have none"
            )));
        }
        let inputs = inputs(command);
        let playlists = Playlists::new(command, &inputs, &choice, description)?;
        let tagging = match command.write_tags {
            true => Some(Tagging::new(progress, command.dry_run, command.replace_existing)?),
            false => None,
        };
        let page = match &command.report {
            Some(path) => {
                let model = &command.model[0];
                Some(Page::new(path, model, &inputs, description, command.moods_only)?)
            }
            None => None,
        };
        Ok(Self {
            command,
            progress,
            choice,
            results: Results::new(command, progress, description),
            playlists: Some(playlists),
            page,
            tagging,
            bar: None,
            done: 0,
            seconds: 0.0,
            asked: 0,
            failed: Vec::new(),
            broken: Vec::new(),
            unfinished: Vec::new(),
        })
    }

    /// From now on songs have other moods.
    ///
    /// # Errors
    /// One of these has no threshold, and a playlist of it is asked for.
    pub fn choose(&mut self, choice: Choice, description: &Description) -> Result<()> {
        let inputs = inputs(self.command);
        self.playlists = Some(Playlists::new(self.command, &inputs, &choice, description)?);
        self.choice = choice;
        Ok(())
    }

    /// # Errors
    /// The page would replace one of the songs.
    pub fn check(&self, songs: &[PathBuf]) -> Result<()> {
        self.page.as_ref().map_or(Ok(()), |page| page.check(songs))
    }

    /// What comes once, before all files.
    pub fn begin(&mut self, files: usize) -> Result<()> {
        self.asked = files + self.failed.len();
        self.results.begin()?;
        // JSON stops in mid-line until it is complete, and a bar would be drawn over that.
        let in_the_way = self.command.format == Format::Json && std::io::stdout().is_terminal();
        let bars = if in_the_way { Progress::new(true) } else { self.progress.clone() };
        self.bar = Some(bars.bar("predicting", files));
        Ok(())
    }

    /// Takes what becomes of a file.
    pub fn take(
        &mut self,
        library: &mut Library,
        file: usize,
        path: &Path,
        outcome: Outcome,
    ) -> Result<()> {
        // Who closed the pipe may still wait for tags and files.
        let is_owed =
            self.tagging.is_some() || self.page.is_some() || !self.command.playlist.is_empty();
        if output::failure().is_some_and(|failure| !(is_owed && output::is_closed(failure))) {
            return Err(Error::stopped("standard output takes no more results"));
        }
        match outcome {
            Outcome::Heard(prediction) => self.heard(library, file, path, &prediction)?,
            Outcome::Failed(error) => self.broken.push((path.to_owned(), error)),
            Outcome::Unfinished => self.unfinished.push(path.to_owned()),
        }
        self.done += 1;
        if let Some(bar) = &self.bar {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            bar.message(format!("{} of music, {}", clock(self.seconds), shortened(&name)));
            bar.at_work(self.done, library.work());
        }
        Ok(())
    }

    fn heard(
        &mut self,
        library: &mut Library,
        file: usize,
        path: &Path,
        prediction: &Prediction,
    ) -> Result<()> {
        let moods = self.choice.moods_of(prediction);
        self.results.take(path, prediction, &moods, &self.choice)?;
        self.seconds += prediction.duration;
        if !prediction.silent
            && let Some(playlists) = &mut self.playlists
        {
            playlists.take(path, prediction, &self.choice, || library.credits(file));
        }
        if let Some(page) = &mut self.page {
            page.take(path, prediction, &moods, library.credits(file))?;
        }
        let Some(tagging) = &mut self.tagging else { return Ok(()) };
        library.commit();
        let changes = match tagging.tag(path, &moods) {
            Ok(changes) => changes,
            Err(error) => {
                self.failed.push(error);
                return Ok(());
            }
        };
        let reason = match (prediction.silent, prediction.padded) {
            (true, _) => "is silent and would get no tag",
            (_, true) => "is shorter than a clip and would get no tag",
            _ => "no mood reaches its threshold: no tag",
        };
        if self.command.dry_run && moods.is_empty() && !changes {
            self.progress.always(&format!("{}: {reason}", path_text(path)));
        }
        Ok(())
    }

    /// What comes once, after all files that were `asked` for. Playlists and the page are written of a
    /// `complete` scan alone: half a list must not take the place of a whole one.
    ///
    /// # Errors
    /// A playlist or the page cannot be written.
    pub fn end(&mut self, asked: &Asked, complete: bool) -> Result<()> {
        self.bar = None;
        self.results.end();
        let broken = std::mem::take(&mut self.broken);
        let strictness = self.command.strictness;
        self.failed.extend(strictness.sort_out(&asked.found, broken, self.progress));
        if self.command.strictness.strict {
            self.asked += asked.found.passed_over.len();
        }
        if !complete {
            if self.page.is_some() || !self.command.playlist.is_empty() {
                self.progress.note("playlists and page are written once all is heard");
            }
            return Ok(());
        }
        if let Some(playlists) = self.playlists.take() {
            self.failed.extend(playlists.write(self.progress)?);
        }
        if let Some(page) = &self.page {
            page.write(self.failed.len(), asked.files(), self.progress)?;
        }
        Ok(())
    }

    /// What was seen on the way.
    pub fn notes(&self) {
        self.results.notes();
        if let Some(tagging) = &self.tagging {
            tagging.notes();
        }
        for path in &self.unfinished {
            self.progress.note(&format!("warning: {}", unfinished(path)));
        }
    }

    /// The files that failed so far.
    pub fn failures(&self) -> Option<String> {
        let headline = format!("{} of {} files failed:", self.failed.len(), self.asked);
        (!self.failed.is_empty()).then(|| list_errors(&headline, &self.failed).to_string())
    }

    /// What is wrong, once all is done that can be; there are so many files.
    ///
    /// # Errors
    /// Something is.
    pub fn problems(self, files: usize, stopped: bool) -> Result<()> {
        let mut problems = Vec::from_iter(self.failures());
        if stopped && self.done < files {
            problems.push(format!(
                "stopped: {} not predicted; the same command{} goes on with them",
                audio_files(files - self.done),
                if self.command.again { " without --again" } else { "" }
            ));
        }
        let left = stopped && self.done < files;
        match (problems.is_empty(), left) {
            (true, _) => Ok(()),
            (false, true) => Err(Error::stopped(problems.join("\n"))),
            (false, false) => Err(Error::failure(problems.join("\n"))),
        }
    }
}

/// What results must not replace. Songs are looked for later, and are held against what is written then.
fn inputs(command: &Predict) -> Vec<PathBuf> {
    [model::files(&command.model), lists(command)].concat()
}

/// Letters of a file's name that stand beside a bar.
const SHOWN: usize = 30;

fn shortened(name: &str) -> String {
    match name.chars().count() > SHOWN {
        true => name.chars().take(SHOWN - 1).chain(['…']).collect(),
        false => name.to_owned(),
    }
}
