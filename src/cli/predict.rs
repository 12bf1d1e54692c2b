//! `moodshader predict`: the moods of one's own music.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Common, open_device, stop_on_interrupt};
use crate::audio::find_audio;
use crate::model::checkpoint::{Checkpoint, Description};
use crate::model::preset::nearest_first;
use crate::predict::playlist::{self, Entry};
use crate::predict::{Moods, Prediction, Tagger, predict_files, tags};
use crate::report::{Progress, audio_files, clock, sparkline};
use crate::{Error, Result};

/// Tell the moods of music: any number of files, and folders with all that is in them.
///
/// A recording is cut into successive clips of the model's length, and their probabilities are
/// averaged; a tail shorter than half a clip is dropped. A recording shorter than a clip is padded
/// with silence and marked. Files of a folder that are no audio are passed over. A file that cannot
/// be used does not stop the rest: it is listed at the end, and the exit status is 1.
#[derive(Args, Debug)]
pub struct Predict {
    /// The checkpoint, such as best.safetensors of a run; nothing else is needed.
    #[arg(long, value_name = "FILE")]
    model: PathBuf,
    /// Audio files, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Show only the K most probable moods of each file; JSON and CSV always have all.
    #[arg(long, value_name = "K")]
    top: Option<NonZeroUsize>,
    /// Text for people; JSON or CSV for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Show how the moods change: every clip's, in text as a picture.
    #[arg(long)]
    timeline: bool,
    /// Write MOOD.m3u8, a playlist of the files that reach the mood's threshold; may be repeated.
    ///
    /// The most probable file comes first. The thresholds are those that training chose on its
    /// validation clips and keeps in best.safetensors.
    #[arg(long, value_name = "MOOD")]
    playlist: Vec<String>,
    /// The folder for the playlists; by default the one you are in.
    #[arg(long, value_name = "DIR", requires = "playlist")]
    playlist_out: Option<PathBuf>,
    /// Write the moods into the tag MOOD of each file, in place of what it says there.
    ///
    /// Written are the moods that reach their thresholds, the most probable first, or the most
    /// probable one where none does. ID3v2.4 has TMOO, ID3v2.3 TXXX:MOOD, FLAC and Ogg Vorbis MOOD,
    /// M4A ----:com.apple.iTunes:MOOD. The sound and all other tags stay as they are: a file is left
    /// alone where that cannot be made sure of.
    #[arg(long)]
    write_tags: bool,
    /// Print what --write-tags would write, and write nothing.
    #[arg(long, requires = "write_tags")]
    dry_run: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Csv,
}

/// A file as JSON shows it.
#[derive(Debug, Serialize)]
struct File<'a> {
    path: &'a str,
    duration: f64,
    padded: bool,
    moods: &'a Moods,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [crate::predict::Span]>,
}

/// What is collected while files are predicted.
struct Results<'a> {
    command: &'a Predict,
    progress: &'a Progress,
    description: Description,
    /// Files so far, for JSON, which is written in one piece.
    files: Vec<(String, Prediction)>,
    /// For each of the playlists asked for.
    playlists: Vec<Vec<Entry>>,
    failed: Vec<Error>,
    padded: usize,
    truncated: usize,
    damaged: usize,
    tagged: usize,
}

impl Predict {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let checkpoint = Checkpoint::read(&self.model)?;
        let description = checkpoint.description()?;
        self.check_playlists(&description)?;
        let (files, mut failed) = self.files()?;
        let stop = stop_on_interrupt(&progress, "with what is complete so far")?;
        let device = open_device(&self.common.device, &progress)?;
        let mut tagger = Tagger::new(&checkpoint, &device)
            .map_err(|error| error.context(self.model.display()))?;
        let mut results = Results::new(self, &progress, description);
        results.begin()?;
        let bar = progress.bar("predicting", files.len());
        let started = Instant::now();
        let mut done = 0;
        let amount = predict_files(&mut tagger, &files, &stop, &mut |file, result| {
            results.take(&files[file], result)?;
            done += 1;
            bar.at(done);
            Ok(())
        });
        drop(bar);
        // Should the device fail, what is there is not lost.
        results.end()?;
        let amount = amount?;
        let elapsed = started.elapsed().as_secs_f64();
        progress.note(&format!(
            "{} ({} of audio, {} clips) in {elapsed:.1} s: {:.1} clips/s, {:.0} times as \
             fast as playing them",
            audio_files(amount.files),
            clock(amount.seconds),
            amount.clips,
            amount.clips as f64 / elapsed,
            amount.seconds / elapsed
        ));
        results.notes();
        let missing = failed.len();
        failed.append(&mut results.failed);
        let mut problems = Vec::new();
        if !failed.is_empty() {
            let all = files.len() + missing;
            let mut text = format!("{} of {all} files failed:", failed.len());
            for error in failed {
                text.push_str(&format!("\n  {error}"));
            }
            problems.push(text);
        }
        if stop.load(Ordering::Relaxed) && done < files.len() {
            problems.push(format!("stopped: {} not predicted", audio_files(files.len() - done)));
        }
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::failure(problems.join("\n"))),
        }
    }

    /// The files that the paths mean, and what is wrong with paths that mean none.
    fn files(&self) -> Result<(Vec<PathBuf>, Vec<Error>)> {
        let (mut files, mut failed) = (Vec::new(), Vec::new());
        for path in &self.paths {
            match find_audio(std::slice::from_ref(path)) {
                Ok(found) => files.extend(found),
                Err(error) => failed.push(error),
            }
        }
        let mut seen = HashSet::new();
        files.retain(|file| seen.insert(file.canonicalize().unwrap_or_else(|_| file.clone())));
        match failed.pop() {
            Some(error) if files.is_empty() => Err(failed
                .into_iter()
                .rev()
                .fold(error, |error, other| other.followed_by(&error.to_string()))),
            last => {
                failed.extend(last);
                Ok((files, failed))
            }
        }
    }

    fn playlist_path(&self, mood: &str) -> PathBuf {
        self.playlist_out.as_deref().unwrap_or(Path::new("")).join(playlist::file_name(mood))
    }

    /// What would go wrong after hours is found before.
    fn check_playlists(&self, description: &Description) -> Result<()> {
        if let Some(folder) = self.playlist_out.as_deref().filter(|folder| !folder.is_dir()) {
            return Err(Error::input(format!(
                "--playlist-out {}: there is no such folder; make it first",
                folder.display()
            )));
        }
        for mood in &self.playlist {
            let known = description.labels.iter().map(String::as_str);
            let Some(place) = description.labels.iter().position(|label| label == mood) else {
                return Err(Error::input(format!(
                    "--playlist {mood}: the model does not know this mood; it knows {}",
                    nearest_first(mood, known).join(", ")
                )));
            };
            let why = match &description.thresholds {
                None => "the checkpoint has no thresholds; best.safetensors of a run has them",
                Some(thresholds) if thresholds[place].is_none() => {
                    "the checkpoint has no threshold for this mood, since no validation clip had it"
                }
                _ => {
                    playlist::check_free(&self.playlist_path(mood))?;
                    continue;
                }
            };
            return Err(Error::input(format!("--playlist {mood}: {why}")));
        }
        Ok(())
    }
}

impl<'a> Results<'a> {
    fn new(command: &'a Predict, progress: &'a Progress, description: Description) -> Self {
        Self {
            command,
            progress,
            description,
            files: Vec::new(),
            playlists: vec![Vec::new(); command.playlist.len()],
            failed: Vec::new(),
            padded: 0,
            truncated: 0,
            damaged: 0,
            tagged: 0,
        }
    }

    fn begin(&self) -> Result<()> {
        if self.command.format == Format::Csv {
            let span: &[&str] = if self.command.timeline { &["start", "end"] } else { &[] };
            let moods = self.description.labels.iter().map(String::as_str);
            let header = ["path", "duration", "padded"].into_iter().chain(span.iter().copied());
            self.csv(header.chain(moods))?;
        }
        Ok(())
    }

    fn take(&mut self, path: &Path, result: Result<Prediction>) -> Result<()> {
        let prediction = match result {
            Ok(prediction) => prediction,
            Err(error) => {
                self.failed.push(error);
                return Ok(());
            }
        };
        self.padded += usize::from(prediction.padded);
        self.truncated += usize::from(prediction.truncated);
        self.damaged += usize::from(prediction.damaged);
        match self.command.format {
            Format::Text => self.text(path, &prediction),
            Format::Csv => self.rows(path, &prediction)?,
            Format::Json => {}
        }
        for (mood, entries) in self.command.playlist.iter().zip(&mut self.playlists) {
            let place = self.description.labels.iter().position(|label| label == mood);
            let threshold =
                place.zip(self.description.thresholds.as_ref()).and_then(|(p, all)| all[p]);
            let (Some(threshold), Some(probability)) = (threshold, prediction.moods.get(mood))
            else {
                continue;
            };
            if f64::from(probability) >= threshold {
                let duration = prediction.duration;
                entries.push(Entry { path: path.to_owned(), duration, probability });
            }
        }
        if self.command.write_tags {
            self.tag(path, &prediction.moods);
        }
        if self.command.format == Format::Json {
            self.files.push((path.to_string_lossy().into_owned(), prediction));
        }
        Ok(())
    }

    /// The moods that a file's tag is to name.
    fn chosen(&self, moods: &Moods) -> Vec<String> {
        let ranked = moods.ranked();
        let reaches = |(name, probability): &&(&str, f32)| {
            let place = self.description.labels.iter().position(|label| label == name);
            let thresholds = self.description.thresholds.as_ref();
            let threshold = place.zip(thresholds).and_then(|(place, all)| all[place]);
            threshold.is_some_and(|threshold| f64::from(*probability) >= threshold)
        };
        let mut chosen: Vec<_> = ranked.iter().filter(reaches).collect();
        if chosen.is_empty() {
            chosen.extend(ranked.first());
        }
        chosen.into_iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn tag(&mut self, path: &Path, moods: &Moods) {
        let chosen = self.chosen(moods);
        let change = match self.command.dry_run {
            true => tags::preview(path, &chosen),
            false => tags::write(path, &chosen),
        };
        match change {
            Ok(change) => {
                self.tagged += usize::from(change.is_needed());
                if self.command.dry_run {
                    let before = match &*change.before.join("; ") {
                        "" => "nothing".to_owned(),
                        before => before.to_owned(),
                    };
                    // What was asked for, even when quiet; standard output is for the moods.
                    self.progress.always(&format!(
                        "{}: {} would say {} instead of {before}",
                        path.display(),
                        change.field,
                        change.after.join("; ")
                    ));
                }
            }
            Err(error) => self.failed.push(error),
        }
    }

    fn text(&self, path: &Path, prediction: &Prediction) {
        let mut about = clock(prediction.duration);
        if prediction.padded {
            about.push_str(", shorter than a clip: padded with silence");
        }
        self.progress.result(format_args!("{}  ({about})", path.display()));
        let ranked = prediction.moods.ranked();
        let shown =
            &ranked[..self.command.top.map_or(ranked.len(), |top| top.get().min(ranked.len()))];
        let width = shown.iter().map(|(mood, _)| mood.chars().count()).max().unwrap_or(0);
        let over_time = |mood: &str| -> Vec<f32> {
            prediction.timeline.iter().filter_map(|span| span.moods.get(mood)).collect()
        };
        let full = shown.iter().flat_map(|(mood, _)| over_time(mood)).fold(0.0, f32::max);
        for (mood, probability) in shown {
            let line = format!("  {mood:<width$}  {probability:.3}");
            match self.command.timeline {
                true => {
                    let picture = sparkline(&over_time(mood), full);
                    self.progress.result(format_args!("{line}  {picture}"));
                }
                false => self.progress.result(line),
            }
        }
        if self.command.timeline
            && let Some(last) = prediction.timeline.last()
        {
            self.progress.result(format_args!(
                "  {:width$}         0:00 to {}, the highest is {full:.3}",
                "",
                clock(last.end)
            ));
        }
    }

    fn rows(&self, path: &Path, prediction: &Prediction) -> Result<()> {
        let file = || {
            let path = path.to_string_lossy().into_owned();
            [path, prediction.duration.to_string(), prediction.padded.to_string()].into_iter()
        };
        let numbers =
            |moods: &Moods| -> Vec<String> { moods.iter().map(|(_, p)| p.to_string()).collect() };
        if !self.command.timeline {
            return self.csv(file().chain(numbers(&prediction.moods)));
        }
        prediction.timeline.iter().try_for_each(|span| {
            let place = [span.start.to_string(), span.end.to_string()];
            self.csv(file().chain(place).chain(numbers(&span.moods)))
        })
    }

    fn csv(&self, cells: impl Iterator<Item = impl AsRef<[u8]>>) -> Result<()> {
        let failed = |error: &dyn std::fmt::Display| Error::failure(format!("CSV: {error}"));
        let mut writer = csv::WriterBuilder::new().from_writer(Vec::new());
        writer.write_record(cells).map_err(|error| failed(&error))?;
        let row = writer.into_inner().map_err(|error| failed(&error))?;
        self.progress.result(String::from_utf8_lossy(&row).trim_end_matches('\n'));
        Ok(())
    }

    /// What comes once, after all files.
    fn end(&self) -> Result<()> {
        if self.command.format == Format::Json {
            let files: Vec<File<'_>> = self
                .files
                .iter()
                .map(|(path, prediction)| File {
                    path,
                    duration: prediction.duration,
                    padded: prediction.padded,
                    moods: &prediction.moods,
                    timeline: self.command.timeline.then_some(&*prediction.timeline),
                })
                .collect();
            let text = serde_json::to_string_pretty(&files);
            self.progress.result(text.map_err(|error| Error::failure(error.to_string()))?);
        }
        for (mood, entries) in self.command.playlist.iter().zip(&self.playlists) {
            let path = self.command.playlist_path(mood);
            playlist::write(&path, mood, entries)?;
            self.progress.note(&format!("{} in {}", audio_files(entries.len()), path.display()));
        }
        Ok(())
    }

    fn notes(&self) {
        let tagged = match self.command.dry_run {
            true => "would get another tag MOOD; nothing was written",
            false => "with a new tag MOOD",
        };
        for (number, what) in [
            (self.padded, "shorter than a clip and padded with silence"),
            (self.truncated, "that end before their header says; what is there is used"),
            (self.damaged, "with parts that cannot be decoded and count as silence"),
            (self.tagged, tagged),
        ] {
            if number > 0 {
                self.progress.note(&format!("{} {what}", audio_files(number)));
            }
        }
    }
}
