//! What `moodshader predict` prints and writes.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::{Format, Predict};
use crate::cli::to_json;
use crate::files::path_text;
use crate::model::checkpoint::Description;
use crate::output;
use crate::predict::playlist::{self, Entry};
use crate::predict::{Moods, Prediction, Span, tags};
use crate::report::{Progress, audio_files, clock, sparkline};
use crate::{Error, Result};

/// A file as JSON shows it.
#[derive(Debug, Serialize)]
struct File<'a> {
    path: String,
    duration: f64,
    padded: bool,
    /// Only where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    silent: Option<bool>,
    moods: &'a Moods,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [Span]>,
}

/// What is collected while files are predicted.
pub struct Results<'a> {
    command: &'a Predict,
    progress: &'a Progress,
    description: Description,
    /// Those of the model's outputs that are shown.
    shown: Arc<[String]>,
    /// Those that are moods.
    moods: Arc<[String]>,
    /// Files told so far.
    told: usize,
    /// For each of the playlists asked for.
    playlists: Vec<Vec<Entry>>,
    /// Files that failed, in order.
    pub failed: Vec<Error>,
    padded: usize,
    truncated: usize,
    damaged: usize,
    silent: usize,
    tagged: usize,
}

impl<'a> Results<'a> {
    pub fn new(command: &'a Predict, progress: &'a Progress, description: Description) -> Self {
        let moods: Arc<[String]> = description.moods().into();
        let shown = match command.moods_only {
            true => Arc::clone(&moods),
            false => description.labels.clone().into(),
        };
        Self {
            command,
            progress,
            description,
            shown,
            moods,
            told: 0,
            playlists: vec![Vec::new(); command.playlist.len()],
            failed: Vec::new(),
            padded: 0,
            truncated: 0,
            damaged: 0,
            silent: 0,
            tagged: 0,
        }
    }

    /// What comes once, before all files.
    pub fn begin(&self) -> Result<()> {
        match self.command.format {
            Format::Text => {}
            Format::Json => self.progress.part_of_result("["),
            Format::Csv => {
                let span: &[&str] = if self.command.timeline { &["start", "end"] } else { &[] };
                let moods = self.shown.iter().map(String::as_str);
                let file = ["path", "duration", "padded"].into_iter();
                self.csv(file.chain(span.iter().copied()).chain(moods))?;
            }
        }
        Ok(())
    }

    pub fn take(&mut self, path: &Path, result: Result<Prediction>) -> Result<()> {
        if output::failure().is_some() {
            return Err(Error::stopped("standard output takes no more results"));
        }
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
        self.silent += usize::from(prediction.silent);
        let shown = self.shown(&prediction);
        match self.command.format {
            Format::Text => self.text(path, &shown),
            Format::Csv => self.rows(path, &shown)?,
            Format::Json => self.json(path, &shown)?,
        }
        self.told += 1;
        if prediction.silent {
            if self.command.dry_run {
                let path = path_text(path);
                self.progress.always(&format!("{path}: is silent and would get no tag"));
            }
            return Ok(());
        }
        for (mood, entries) in self.command.playlist.iter().zip(&mut self.playlists) {
            if let Some(probability) = prediction.moods.get(mood)
                && self.description.reaches(mood, probability)
            {
                let duration = prediction.duration;
                entries.push(Entry { path: path.to_owned(), duration, probability });
            }
        }
        if self.command.write_tags {
            self.tag(path, &prediction.moods);
        }
        Ok(())
    }

    /// What is shown of a prediction.
    fn shown<'p>(&self, prediction: &'p Prediction) -> Cow<'p, Prediction> {
        if !self.command.moods_only {
            return Cow::Borrowed(prediction);
        }
        let mut shown = prediction.clone();
        shown.moods = prediction.moods.selected(&self.shown);
        for span in &mut shown.timeline {
            span.moods = span.moods.selected(&self.shown);
        }
        Cow::Owned(shown)
    }

    /// The moods that a file's tag is to name.
    fn chosen(&self, moods: &Moods) -> Vec<String> {
        let moods = moods.selected(&self.moods);
        let ranked = moods.ranked();
        let reaches =
            |(mood, probability): &&(&str, f32)| self.description.reaches(mood, *probability);
        let mut chosen: Vec<_> = ranked.iter().filter(reaches).collect();
        // A model that knows much besides moods may have none for a song.
        if chosen.is_empty() && self.description.moods.is_none() {
            chosen.extend(ranked.first());
        }
        chosen.into_iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn tag(&mut self, path: &Path, moods: &Moods) {
        let chosen = self.chosen(moods);
        if chosen.is_empty() {
            if self.command.dry_run {
                let path = path_text(path);
                self.progress.always(&format!("{path}: no mood reaches its threshold: no tag"));
            }
            return;
        }
        let change = match self.command.dry_run {
            true => tags::preview(path, &chosen),
            false => tags::write(path, &chosen),
        };
        match change {
            Ok(change) => {
                self.tagged += usize::from(change.is_needed());
                if self.command.dry_run && change.is_needed() {
                    let before = match &*change.before.join("; ") {
                        "" => "nothing".to_owned(),
                        before => before.to_owned(),
                    };
                    // What was asked for, even when quiet; standard output is for the moods.
                    self.progress.always(&format!(
                        "{}: {} would say {} instead of {before}",
                        path_text(path),
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
        if prediction.silent {
            about.push_str(", silent");
        }
        self.progress.result(format_args!("{}  ({about})", path_text(path)));
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

    /// An entry of the array, which stands there as soon as the file is done.
    fn json(&self, path: &Path, prediction: &Prediction) -> Result<()> {
        let file = File {
            path: path_text(path),
            duration: prediction.duration,
            padded: prediction.padded,
            silent: prediction.silent.then_some(true),
            moods: &prediction.moods,
            timeline: self.command.timeline.then_some(&*prediction.timeline),
        };
        // Inside strings, line breaks are escaped.
        let entry = to_json(&file)?.replace('\n', "\n  ");
        let comma = if self.told > 0 { "," } else { "" };
        self.progress.part_of_result(format_args!("{comma}\n  {entry}"));
        Ok(())
    }

    fn rows(&self, path: &Path, prediction: &Prediction) -> Result<()> {
        let file = || {
            let about = [prediction.duration.to_string(), prediction.padded.to_string()];
            [path_text(path)].into_iter().chain(about)
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
    pub fn end(&mut self) -> Result<()> {
        if self.command.format == Format::Json {
            self.progress.result(if self.told > 0 { "\n]" } else { "]" });
        }
        let mut left_out = BTreeSet::new();
        for (mood, entries) in self.command.playlist.iter().zip(&self.playlists) {
            let path = self.command.playlist_path(mood);
            let without = playlist::write(&path, mood, entries)?;
            let written = entries.len() - without.len();
            self.progress.note(&match written {
                0 => format!(
                    "the playlist {} is empty: no file reaches the threshold of {mood}",
                    path.display()
                ),
                _ => format!("{} in {}", audio_files(written), path.display()),
            });
            left_out.extend(without.into_iter().map(|entry| &entry.path));
        }
        // A file is told once, however many playlists it is missing in.
        self.failed.extend(left_out.into_iter().map(|path| playlist::left_out(path)));
        Ok(())
    }

    pub fn notes(&self) {
        let tagged = match self.command.dry_run {
            true => "would get another tag MOOD; nothing was written",
            false => "with a new tag MOOD",
        };
        for (number, what) in [
            (self.padded, "shorter than a clip and padded with silence"),
            (self.truncated, "that end before their header says; what is there is used"),
            (self.damaged, "with parts that cannot be decoded and count as silence"),
            (
                self.silent,
                "silent throughout, which has no mood: no playlist, and no tag is written",
            ),
            (self.tagged, tagged),
        ] {
            if number > 0 {
                self.progress.note(&format!("{} {what}", audio_files(number)));
            }
        }
    }
}
