//! Notes and progress bars on standard error; standard output stays free for results.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::dataset::prepare::Broken;
use crate::output;

/// Between two lines about one task where there is no terminal to draw a bar on.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Where notes and bars go.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    quiet: bool,
    /// Bars are drawn; else they are a line now and then.
    terminal: bool,
}

/// A task with a known number of parts; its bar goes when it does.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// When the next line is due, where lines take the bar's place.
    due: Option<Mutex<Instant>>,
}

impl Progress {
    /// `quiet` keeps everything but warnings and errors back.
    pub fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let terminal = std::io::stderr().is_terminal();
        Self { bars: MultiProgress::with_draw_target(target), quiet, terminal }
    }

    /// A line for people. Warnings show even when quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet || text.starts_with("warning") {
            self.always(text);
        }
    }

    /// A line that shows even when quiet.
    pub fn always(&self, text: &str) {
        self.bars.suspend(|| line(text));
    }

    /// A line of the result, on standard output, clear of any bar.
    pub fn result(&self, text: impl std::fmt::Display) {
        self.bars.suspend(|| output::line(text));
    }

    /// A part of a line of the result, as [`Self::result`]. A bar would be drawn over it.
    pub fn part_of_result(&self, text: impl std::fmt::Display) {
        self.bars.suspend(|| output::part(text));
    }

    /// Shows a task of `parts` parts.
    pub fn bar(&self, what: &str, parts: usize) -> Bar {
        let style = ProgressStyle::with_template("{msg:34} {bar:24} {pos}/{len}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(parts as u64).with_style(style));
        bar.set_message(what.to_owned());
        // Shows it before the first part is done.
        bar.tick();
        let lines = !self.quiet && !self.terminal;
        Bar { bar, due: lines.then(|| Mutex::new(Instant::now() + LINE_EVERY)) }
    }

    /// Lists files that could not be used, with a count.
    pub fn broken(&self, files: &[Broken]) {
        if files.is_empty() {
            return;
        }
        self.note(&format!("warning: {} could not be used:", audio_files(files.len())));
        for file in files {
            self.note(&format!("warning:   {}", file.error));
        }
    }
}

/// "1 audio file", "2 audio files".
pub fn audio_files(count: usize) -> String {
    format!("{count} audio file{}", if count == 1 { "" } else { "s" })
}

/// Whoever reads standard error may have gone; that is no reason to stop.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Bar {
    /// So many parts are done.
    pub fn at(&self, done: usize) {
        self.bar.set_position(done as u64);
        let Some(mut due) = self.due.as_ref().and_then(|due| due.try_lock().ok()) else { return };
        let now = Instant::now();
        if now < *due {
            return;
        }
        *due = now + LINE_EVERY;
        let (done, all) = (self.bar.position(), self.bar.length().unwrap_or(0));
        line(&format!("{}  {done}/{all}", self.bar.message()));
    }

    /// What stands beside the bar from now on.
    pub fn message(&self, text: String) {
        self.bar.set_message(text);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
