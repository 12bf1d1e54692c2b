//! What `moodshader predict` prints.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use super::{Format, Predict};
use crate::cli::to_json;
use crate::files::{path_line, path_text};
use crate::model::checkpoint::Description;
use crate::predict::{Choice, Flawed, Moods, Prediction, Span};
use crate::report::{Progress, clock, sparkline};
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
    tags: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<&'a [Span]>,
}

/// What is printed while files are predicted, and counted.
pub struct Results<'a> {
    command: &'a Predict,
    progress: &'a Progress,
    /// Those of the model's outputs that are shown.
    shown: Arc<[String]>,
    /// Files told so far.
    told: usize,
    flawed: Flawed,
}

impl<'a> Results<'a> {
    pub fn new(command: &'a Predict, progress: &'a Progress, description: &Description) -> Self {
        let shown = match command.moods_only {
            true => description.moods().into(),
            false => description.labels.clone().into(),
        };
        Self { command, progress, shown, told: 0, flawed: Flawed::default() }
    }

    /// What comes once, before all files.
    pub fn begin(&self) -> Result<()> {
        match self.command.format {
            Format::Text | Format::Jsonl => {}
            Format::Json => self.progress.part_of_result("["),
            Format::Csv => {
                let span: &[&str] = if self.command.timeline { &["start", "end"] } else { &[] };
                let moods = self.shown.iter().map(String::as_str);
                let file = ["path", "duration", "padded"].into_iter();
                self.csv(file.chain(span.iter().copied()).chain(moods).chain(["tags"]))?;
            }
        }
        Ok(())
    }

    /// Shows a file, whose tag would name `tags`.
    pub fn take(
        &mut self,
        path: &Path,
        prediction: &Prediction,
        tags: &[&str],
        choice: &Choice,
    ) -> Result<()> {
        self.flawed.count(prediction);
        let shown = self.shown(prediction);
        match self.command.format {
            Format::Text => self.text(path, &shown, tags, choice),
            Format::Csv => self.rows(path, &shown, tags)?,
            Format::Json | Format::Jsonl => self.json(path, &shown, tags)?,
        }
        self.told += 1;
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

    fn text(&self, path: &Path, prediction: &Prediction, tags: &[&str], choice: &Choice) {
        let mut about = clock(prediction.duration);
        if prediction.padded {
            about.push_str(", shorter than a clip: padded with silence");
        }
        if prediction.silent {
            about.push_str(", silent");
        }
        let tagged = match tags {
            [] => String::new(),
            tags => format!("  tags: {}", tags.join(", ")),
        };
        self.progress.result(format_args!("{}  ({about}){tagged}", path_line(path)));
        let ranked = prediction.moods.ranked();
        let shown =
            &ranked[..self.command.top.map_or(ranked.len(), |top| top.get().min(ranked.len()))];
        let width = shown.iter().map(|(mood, _)| mood.chars().count()).max().unwrap_or(0);
        let over_time = |mood: &str| -> Vec<f32> {
            prediction.timeline.iter().filter_map(|span| span.moods.get(mood)).collect()
        };
        let full = shown.iter().flat_map(|(mood, _)| over_time(mood)).fold(0.0, f32::max);
        for (mood, probability) in shown {
            let mark = match choice.threshold(mood).filter(|_| choice.reaches(mood, *probability)) {
                _ if !tags.contains(mood) => String::new(),
                Some(from) => format!("  * from {from:.3} on"),
                None => "  * the most probable".to_owned(),
            };
            let line = format!("  {mood:<width$}  {probability:.3}");
            match self.command.timeline {
                true => {
                    let picture = sparkline(&over_time(mood), full);
                    self.progress.result(format_args!("{line}  {picture}{mark}"));
                }
                false => self.progress.result(format_args!("{line}{mark}")),
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

    /// An entry of the array, or a line of its own, which stands there as soon as the file is done.
    fn json(&self, path: &Path, prediction: &Prediction, tags: &[&str]) -> Result<()> {
        let file = File {
            path: path_text(path),
            duration: prediction.duration,
            padded: prediction.padded,
            silent: prediction.silent.then_some(true),
            moods: &prediction.moods,
            tags,
            timeline: self.command.timeline.then_some(&*prediction.timeline),
        };
        if self.command.format == Format::Jsonl {
            let line =
                serde_json::to_string(&file).map_err(|error| Error::failure(error.to_string()))?;
            self.progress.result(line);
            return Ok(());
        }
        // Inside strings, line breaks are escaped.
        let entry = to_json(&file)?.replace('\n', "\n  ");
        let comma = if self.told > 0 { "," } else { "" };
        self.progress.part_of_result(format_args!("{comma}\n  {entry}"));
        Ok(())
    }

    fn rows(&self, path: &Path, prediction: &Prediction, tags: &[&str]) -> Result<()> {
        let file = || {
            let about = [prediction.duration.to_string(), prediction.padded.to_string()];
            [path_text(path)].into_iter().chain(about)
        };
        let tags = || [tags.join("|")];
        let numbers =
            |moods: &Moods| -> Vec<String> { moods.iter().map(|(_, p)| p.to_string()).collect() };
        if !self.command.timeline {
            return self.csv(file().chain(numbers(&prediction.moods)).chain(tags()));
        }
        prediction.timeline.iter().try_for_each(|span| {
            let place = [span.start.to_string(), span.end.to_string()];
            self.csv(file().chain(place).chain(numbers(&span.moods)).chain(tags()))
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
    pub fn end(&self) {
        if self.command.format == Format::Json {
            self.progress.result(if self.told > 0 { "\n]" } else { "]" });
        }
    }

    pub fn notes(&self) {
        let silent = "has no mood: no playlist, and no tag is written";
        self.flawed
            .notes("no tag is written", silent)
            .iter()
            .for_each(|note| self.progress.note(note));
    }
}
