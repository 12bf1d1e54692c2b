//! `moodshader predict`: the moods of one's own music.

mod answers;
mod asked;
mod labelled;
mod page;
mod playlists;
mod results;
mod tagging;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::{Common, Strictness, model, open_device_alike, run_again, stop_on_interrupt};
use crate::metrics::Judged;
use crate::model::builtin;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::predict::library::{Counts, Options};
use crate::predict::{Amount, Choice, assist, dismiss, tags, together};
use crate::ranks::Ranks;
use crate::report::{Progress, audio_files, clock};
use crate::{Error, Result};
use answers::Answers;
use asked::Asked;
use labelled::KnownSongs;
use playlists::Kind;

/// Tell the moods of music: any number of files, and folders with all that is in them.
///
/// A recording is cut into successive clips of the model's length, and their probabilities, or those of
/// --windows of them, are averaged; a tail shorter than half a clip is dropped. A recording shorter than a
/// clip is padded with silence and marked, and gets no tag. One that is silent throughout is marked too; it
/// stands in no playlist and gets no tag.
///
/// What was heard is kept in the cache, by path, size and time of change: the same command again hears only
/// what is new or has changed, and one that was stopped or killed goes on. A file that another program is
/// writing is left for the next time.
///
/// Files of a folder whose kind is not read are passed over and counted. A broken file, or a folder that
/// cannot be listed, does not stop the rest: it is listed at the end, and the exit status is 1.
#[derive(Args, Debug)]
pub struct Predict {
    /// A run's folder, a checkpoint such as its best.safetensors, or a built-in model: musicnn-msd or
    /// musicnn-mtt.
    /// Given several times, or of a folder that train --seeds wrote, the models' probabilities are
    /// averaged.
    #[arg(long, short, value_name = "MODEL", default_value = builtin::DEFAULT)]
    model: Vec<PathBuf>,
    /// Audio files, folders of them, or playlists (M3U) that name them.
    #[arg(required_unless_present_any = ["files_from", "undo"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read more paths from this file, one a line, or each ended by a zero byte as find -print0 writes them;
    /// - is standard input.
    #[arg(long, value_name = "FILE|-")]
    files_from: Option<PathBuf>,
    /// How many clips of each file are heard, evenly spread, or `all`; as the model's preset says by
    /// default (audio.windows), which for the built-in models is 10 of 3 s.
    #[arg(long, value_name = "N|all")]
    windows: Option<model::Windows>,
    /// Hear everything again, also what is known.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    strictness: Strictness,
    /// Show moods alone, not the styles, instruments and times that a built-in model knows besides.
    #[arg(long)]
    moods_only: bool,
    /// Show only the K most probable moods of each file; JSON and CSV always have all.
    #[arg(long, value_name = "K")]
    top: Option<NonZeroUsize>,
    /// Text for people; JSON or CSV for programs. jsonl is one JSON object a line, as soon as its file is
    /// done.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show how the moods change: every clip's, in text as a picture.
    #[arg(long)]
    timeline: bool,
    /// A song has a mood only from where on this share of the validation clips had it, such as 0.8.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    min_precision: Option<f64>,
    /// Take that share on the songs of this manifest instead, of which it says the moods: for a built-in model,
    /// several models together, or music unlike what a model was validated on.
    #[arg(long, value_name = "MANIFEST", requires = "min_precision")]
    labelled: Option<PathBuf>,
    /// A song has this mood from this probability on; may be repeated.
    ///
    /// Without it, and without --min-precision, the thresholds are those with the greatest F1 on the
    /// validation clips of the training, which best.safetensors holds; a built-in model takes 0.1 for all.
    #[arg(long, value_name = "MOOD=PROBABILITY", value_parser = mood_and_threshold)]
    threshold: Vec<(String, f64)>,
    /// Name at most N moods in a song's tag, the most probable ones.
    #[arg(long, value_name = "N")]
    max_moods: Option<NonZeroUsize>,
    /// Write MOOD.m3u8, a playlist of the files that reach the mood's threshold; may be repeated, and `all`
    /// is one of each mood.
    ///
    /// The most probable file comes first.
    #[arg(long, value_name = "MOOD|all")]
    playlist: Vec<String>,
    /// The folder for the playlists, which is made; by default the one you are in.
    ///
    /// Files below it are named from there, so that it can move with them.
    #[arg(long, value_name = "DIR", requires = "playlist")]
    playlist_out: Option<PathBuf>,
    /// At most N files in a playlist, the most probable ones.
    #[arg(long, value_name = "N", requires = "playlist")]
    playlist_size: Option<NonZeroUsize>,
    /// What the playlists are written for.
    #[arg(long, value_enum, default_value_t = Kind::M3u8, requires = "playlist")]
    playlist_format: Kind,
    /// Write a page to look at: which moods the songs have, a map of what sounds alike, and a list that the
    /// browser plays. One file, which needs no network.
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the moods into the tag MOOD of each file.
    ///
    /// Written are the moods that reach their thresholds, the most probable first, or the most
    /// probable one where none does (nothing then of a built-in model, or with thresholds of your own).
    /// ID3v2.4 has TMOO, ID3v2.3 TXXX:MOOD, FLAC and Ogg MOOD, M4A ----:com.apple.iTunes:MOOD. Every other
    /// byte stays as it is: a file is left alone where that cannot be made sure of. Every change is logged.
    #[arg(long)]
    write_tags: bool,
    /// Leave moods that others have written in front of this program's, which is the default.
    #[arg(long, requires = "write_tags", overrides_with = "replace_existing")]
    keep_existing: bool,
    /// Put this program's moods in the place of those that others have written.
    #[arg(long, requires = "write_tags", overrides_with = "keep_existing")]
    replace_existing: bool,
    /// Print what --write-tags or --undo would write, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Take back what --write-tags has written, by its log.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["paths", "files_from", "write_tags"])]
    undo: Option<PathBuf>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Jsonl,
    Csv,
}

impl Predict {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let ranks = Ranks::this();
        if ranks.has_others() && self.undo.is_some() {
            return Err(Error::input(
                "--undo hears nothing that could be shared: start it without mpirun",
            ));
        }
        if let Some(log) = &self.undo {
            return tagging::undo(log, self.dry_run, &progress);
        }
        if self.dry_run && !self.write_tags {
            return Err(Error::input("--dry-run goes with --write-tags or --undo"));
        }
        let checkpoints = model::open_all(&self.model)?;
        let description = together(&checkpoints)?;
        if let [model] = &*self.model {
            model::introduce(model, &description, &progress);
        }
        model::count(&self.model, &progress);
        if !ranks.is_first() {
            return self.assist(&checkpoints, &progress);
        }
        let known = self.labelled.as_deref();
        let known = known
            .map(|known| KnownSongs::read(known, &description, &self.model, &progress))
            .transpose()?;
        let choice = match known {
            // Told once these are heard.
            Some(_) => self.narrowed(Choice::of_any_probability(&description))?,
            None => self.choice(&description, None, &progress)?,
        };
        let mut answers = Answers::new(self, &progress, &description, choice)?;
        let mut asked = Asked::by(self)?;
        asked.notes().for_each(|note| progress.note(&note));
        answers.failed = asked.failed();
        let files = asked.files();
        answers.check(files)?;
        if self.write_tags && !self.dry_run {
            tags::sweep(files);
        }
        let stop = stop_on_interrupt(&progress, "with what is complete so far")?;
        let device = open_device_alike(&self.common.device, &progress)?;
        let mut tagger = model::tagger(&checkpoints, &self.model[0], self.windows, &device)?;
        let mut library =
            model::library(&self.model, &checkpoints, &mut tagger, &device, &progress);
        let told = library.problem();
        if !self.strictness.strict {
            answers.failed.extend(library.known_among(&asked.found.passed_over).iter().map(|file| {
                Error::failure(format!(
                    "{} was music when it was heard last, and does not begin like audio now: it may be \
                     damaged; restore it",
                    file.display()
                ))
            }));
        }
        let options = Options {
            again: self.again,
            same_device: self.common.names_device(),
            timeline: self.timeline,
        };
        if let Some(known) = &known {
            let judged = known.judge(&mut library, &mut tagger, options, &stop, &progress);
            if judged.is_err() && ranks.has_others() {
                dismiss()?;
            }
            let choice = self.choice(&description, Some(&judged?), &progress)?;
            answers.choose(choice, &description)?;
        }
        answers.begin(files.len())?;
        let started = Instant::now();
        let scanned =
            library.scan(&mut tagger, files, options, &stop, &mut |library, file, outcome| {
                answers.take(library, file, &files[file], outcome)
            });
        if ranks.has_others() {
            dismiss()?;
        }
        // Should the device fail, what is there is not lost.
        let complete = scanned.is_ok() && !stop.load(Ordering::Relaxed);
        let ended = answers.end(&asked, complete);
        let (amount, counts) = match scanned {
            Ok(heard) => heard,
            Err(error) => {
                // What has been done is told all the same.
                answers.notes();
                answers.failures().iter().for_each(|failures| progress.note(failures));
                return Err(run_again(error, "what it has heard is kept, and is not heard again"));
            }
        };
        if amount.clips > 0 {
            let windows = tagger.windows();
            progress.note(&speed(amount, windows, started.elapsed().as_secs_f64()));
        }
        let (gone, emptied) = library.forget_gone(&asked.folders, &asked.unlisted);
        for folder in emptied {
            progress.note(&format!(
                "warning: {} is empty; what was heard of the files there is kept, since their disk may be \
                 unplugged: remove the folder if they are deleted",
                folder.display()
            ));
        }
        progress.note(&compared(counts, gone, answers.failed.len()));
        answers.notes();
        // What was so from the start was told then.
        if let Some(problem) = library.problem().filter(|_| told.is_none()) {
            progress.note(&problem);
        }
        let stopped = stop.load(Ordering::Relaxed);
        let problems = answers.problems(files.len(), stopped);
        match (ended, problems) {
            (Ok(()), problems) => problems,
            (ended, Ok(())) => ended,
            (Err(error), Err(problems)) => Err(problems.context(error)),
        }
    }

    /// Hears files for rank 0.
    fn assist(&self, checkpoints: &[Checkpoint], progress: &Progress) -> Result<()> {
        let stop = stop_on_interrupt(progress, "with what is complete so far")?;
        let device = open_device_alike(&self.common.device, progress)?;
        let mut tagger = model::tagger(checkpoints, &self.model[0], self.windows, &device)?;
        assist(&mut tagger, &stop)
    }

    /// Which moods a song has, given labelled songs that were judged.
    fn choice(
        &self,
        description: &Description,
        judged: Option<&Judged>,
        progress: &Progress,
    ) -> Result<Choice> {
        let choice = match self.min_precision {
            None => Choice::of(description),
            Some(share) => {
                let (choice, missing) = Choice::precise(description, share, judged)?;
                let named = |mood: &String| {
                    self.threshold.iter().any(|(named, _)| named.eq_ignore_ascii_case(mood))
                };
                let missing: Vec<String> =
                    missing.into_iter().filter(|mood| !named(mood)).collect();
                if !missing.is_empty() {
                    progress.note(&format!(
                        "no song is given {}: from no probability on had five or more of the clips that were \
                         judged, and {share} of them, the mood",
                        missing.join(", ")
                    ));
                }
                choice
            }
        };
        self.narrowed(choice)
    }

    /// By --threshold and --max-moods.
    fn narrowed(&self, mut choice: Choice) -> Result<Choice> {
        for (mood, threshold) in &self.threshold {
            choice.set(mood, *threshold).map_err(|error| error.context("--threshold"))?;
        }
        if let Some(most) = self.max_moods {
            choice.at_most(most.get());
        }
        Ok(choice)
    }
}

fn share(text: &str) -> Result<f64, &'static str> {
    let number = text.trim().parse().ok().filter(|&number| number > 0.0 && number <= 1.0);
    number.ok_or("a share above 0 and at most 1, such as 0.8")
}

fn mood_and_threshold(text: &str) -> Result<(String, f64), String> {
    let (mood, threshold) = text.rsplit_once('=').ok_or("MOOD=PROBABILITY, such as happy=0.5")?;
    let number = threshold.trim().parse().ok().filter(|number| (0.0..=1.0).contains(number));
    let number = number.ok_or_else(|| format!("{threshold} is no probability between 0 and 1"))?;
    Ok((mood.trim().to_owned(), number))
}

/// "40 audio files (2:40:00 of audio, 400 clips: 10 at most of each were heard) in 20.1 s: …".
fn speed(amount: Amount, windows: Option<usize>, seconds: f64) -> String {
    let heard =
        windows.map_or(String::new(), |most| format!(": {most} at most of each were heard"));
    format!(
        "{} ({} of audio, {} clips{heard}) in {seconds:.1} s: {:.1} clips/s, {:.0} times as fast as \
         playing them",
        audio_files(amount.files),
        clock(amount.seconds),
        amount.clips,
        amount.clips as f64 / seconds,
        amount.seconds / seconds
    )
}

/// "12 new, 1 changed, 3 gone, 19984 unchanged, 2 failed".
fn compared(counts: Counts, gone: usize, failed: usize) -> String {
    let Counts { new, changed, moved, unchanged, unfinished } = counts;
    let mut text = format!("{new} new, {changed} changed, {gone} gone, {unchanged} unchanged");
    for (number, what) in [(moved, "moved or copied"), (unfinished, "being written")] {
        if number > 0 {
            text.push_str(&format!(", {number} {what}"));
        }
    }
    text + &format!(", {failed} failed")
}
