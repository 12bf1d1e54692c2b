//! `moodshader predict`: the moods of one's own music.

mod results;

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::{Common, model, open_device, run_again, stop_on_interrupt};
use crate::audio::{Found, find_audio};
use crate::files::{check_output, names_note};
use crate::model::builtin;
use crate::model::checkpoint::Description;
use crate::predict::{playlist, predict_files, tags, together};
use crate::report::{Progress, audio_files, clock};
use crate::spelling::nearest_first;
use crate::{Error, Result};
use results::Results;

/// Tell the moods of music: any number of files, and folders with all that is in them.
///
/// A recording is cut into successive clips of the model's length, and their probabilities, or those of
/// --windows of them, are averaged; a tail shorter than half a clip is dropped. A recording shorter than a clip is padded
/// with silence and marked. One that is silent throughout is marked too; it stands in no playlist and
/// gets no tag. Files of a folder that are no audio are passed over. A file that cannot be used, or a
/// folder that cannot be listed, does not stop the rest: it is listed at the end, and the exit status
/// is 1.
#[derive(Args, Debug)]
pub struct Predict {
    /// A run's folder, a checkpoint such as its best.safetensors, or a built-in model: musicnn-msd or
    /// musicnn-mtt.
    /// Given several times, or of a folder that train --seeds wrote, the models' probabilities are
    /// averaged.
    #[arg(long, short, value_name = "MODEL", default_value = builtin::DEFAULT)]
    model: Vec<PathBuf>,
    /// Audio files, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How many clips of each file are heard, evenly spread, or `all`; as the model's preset says by
    /// default (audio.windows), which for the built-in models is 10 of 3 s.
    #[arg(long, value_name = "N|all")]
    windows: Option<model::Windows>,
    /// Show moods alone, not the styles, instruments and times that a built-in model knows besides.
    #[arg(long)]
    moods_only: bool,
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
    /// probable one where none does (nothing then of a built-in model). ID3v2.4 has TMOO, ID3v2.3 TXXX:MOOD, FLAC and Ogg MOOD, M4A
    /// ----:com.apple.iTunes:MOOD. Every other byte stays as it is: a file is left alone where that
    /// cannot be made sure of.
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

impl Predict {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let checkpoints = model::open_all(&self.model)?;
        let description = together(&checkpoints)?;
        if let [model] = &*self.model {
            model::introduce(model, &description, &progress);
        }
        if checkpoints.len() > 1 {
            progress.note(&format!("{} models answer together", checkpoints.len()));
        }
        self.check_playlists(&description)?;
        let (found, mut failed) = self.files()?;
        found.notes().chain(names_note(&found.files)).for_each(|note| progress.note(&note));
        let files = found.files;
        if self.write_tags && !self.dry_run {
            tags::sweep(&files);
        }
        let stop = stop_on_interrupt(&progress, "with what is complete so far")?;
        let device = open_device(&self.common.device, &progress)?;
        let mut tagger = model::tagger(&checkpoints, &self.model[0], self.windows, &device)?;
        let mut results = Results::new(self, &progress, description);
        results.begin()?;
        // JSON stops in mid-line until it is complete, and a bar would be drawn over that.
        let in_the_way = self.format == Format::Json && std::io::stdout().is_terminal();
        let bars = if in_the_way { Progress::new(true) } else { progress.clone() };
        let bar = bars.bar("predicting", files.len());
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
        let amount = amount.map_err(|error| run_again(error, "what it has printed is complete"))?;
        let elapsed = started.elapsed().as_secs_f64();
        progress.note(&format!(
            "{} ({} of audio, {} clips{}) in {elapsed:.1} s: {:.1} clips/s, {:.0} times as \
             fast as playing them",
            audio_files(amount.files),
            clock(amount.seconds),
            amount.clips,
            match tagger.windows() {
                Some(most) => format!(": {most} at most of each were heard"),
                None => String::new(),
            },
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

    /// The files that the paths mean, and what is wrong with paths that mean none and with folders that
    /// cannot be listed.
    fn files(&self) -> Result<(Found, Vec<Error>)> {
        let (mut all, mut failed) = (Found::default(), Vec::new());
        for path in &self.paths {
            match find_audio(std::slice::from_ref(path)) {
                Ok(found) => all.extend(found),
                Err(error) => failed.push(error),
            }
        }
        all.drop_repeated();
        failed.extend(all.unlisted.drain(..).map(|(_, error)| error));
        if all.files.is_empty()
            && let Some(first) = failed.pop()
        {
            return Err(first);
        }
        Ok((all, failed))
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
            if !description.labels.contains(mood) {
                let known = description.labels.iter().map(String::as_str);
                return Err(Error::input(format!(
                    "--playlist {mood}: the model does not know this mood; it knows {}",
                    nearest_first(mood, known).join(", ")
                )));
            }
            if description.threshold(mood).is_some() {
                let path = self.playlist_path(mood);
                playlist::check_free(&path)?;
                check_output(&path, &self.model)?;
                continue;
            }
            let why = match description.thresholds {
                None => "the checkpoint has no thresholds; best.safetensors of a run has them",
                Some(_) => {
                    "the checkpoint has no threshold for this mood, since no validation clip had it"
                }
            };
            return Err(Error::input(format!("--playlist {mood}: {why}")));
        }
        Ok(())
    }
}
