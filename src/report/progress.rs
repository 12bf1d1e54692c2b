//! Notes and progress bars on standard error; standard output stays free for results.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::dataset::prepare::Broken;
use crate::files::terminal_text;
use crate::output;

/// Between two lines about one task where there is no terminal to draw a bar on.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Where notes and bars go.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    quiet: bool,
    /// Another process tells all that there is to tell.
    silent: bool,
    /// Bars are drawn; else they are a line now and then.
    terminal: bool,
}

/// A task with a known number of parts; its bar goes when it does.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    /// When the next line is due, where lines take the bar's place.
    due: Option<Mutex<Instant>>,
    started: Instant,
    /// How far the task was when it began here.
    begun: AtomicU64,
}

impl Progress {
    /// `quiet` keeps everything but warnings and errors back.
    pub fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let terminal = std::io::stderr().is_terminal();
        Self { bars: MultiProgress::with_draw_target(target), quiet, silent: false, terminal }
    }

    /// Keeps warnings back, too: of several ranks, the first tells.
    pub fn silent() -> Self {
        Self { silent: true, ..Self::new(true) }
    }

    /// A line for people. Warnings show even when quiet.
    pub fn note(&self, text: &str) {
        if !self.silent && (!self.quiet || text.starts_with("warning")) {
            self.always(text);
        }
    }

    /// A line that shows even when quiet.
    pub fn always(&self, text: &str) {
        self.bars.suspend(|| line(&terminal_text(text)));
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
        let style = ProgressStyle::with_template("{msg:34} {bar:24} {pos}/{len}{prefix}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(parts as u64).with_style(style));
        bar.set_message(what.to_owned());
        // Shows it before the first part is done.
        bar.tick();
        let lines = !self.quiet && !self.terminal;
        let started = Instant::now();
        let due = lines.then(|| Mutex::new(started + LINE_EVERY));
        Bar { bar, due, started, begun: AtomicU64::new(0) }
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

/// What a first part took says little: it may have read files or compiled shaders.
const TELLING: Duration = Duration::from_secs(2);

/// How long so many more parts take, as long as those before; nothing where that is not known yet.
pub fn time_left(elapsed: Duration, done: u64, left: u64) -> Option<Duration> {
    (done > 1 && elapsed > TELLING).then(|| elapsed.mul_f64(left as f64 / done as f64))
}

/// "81 s", "4 min 20 s", "12 min", "1 h 55 min": within a twentieth.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    let (minutes, tens) = ((seconds + 30) / 60, (seconds + 5) / 10);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..600 if tens < 60 && tens % 6 > 0 => format!("{} min {} s", tens / 6, 10 * (tens % 6)),
        120..3600 if minutes < 60 => format!("{minutes} min"),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
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
    /// So many parts were done before.
    pub fn begin_at(&self, done: usize) {
        self.begun.store(done as u64, Ordering::Relaxed);
        self.bar.set_position(done as u64);
    }

    /// "  81 s left", once there is something to tell it by.
    fn left(&self, [done, all]: [u64; 2]) -> String {
        match time_left(self.started.elapsed(), done, all.saturating_sub(done)) {
            Some(left) => format!("  {} left", span(left)),
            None => String::new(),
        }
    }

    /// So many parts are done.
    pub fn at(&self, done: usize) {
        let begun = self.begun.load(Ordering::Relaxed);
        let all = self.bar.length().unwrap_or(0);
        self.at_work(done, [done as u64, all].map(|parts| parts.saturating_sub(begun)));
    }

    /// So many parts are done, and so much of the work that they are, which tells the time left.
    pub fn at_work(&self, done: usize, work: [u64; 2]) {
        let left = self.left(work);
        self.bar.set_prefix(left.clone());
        self.bar.set_position(done as u64);
        let Some(mut due) = self.due.as_ref().and_then(|due| due.try_lock().ok()) else { return };
        let now = Instant::now();
        if now < *due {
            return;
        }
        *due = now + LINE_EVERY;
        let all = self.bar.length().unwrap_or(0);
        line(&format!("{}  {done}/{all}{left}", self.bar.message()));
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

#[cfg(test)]
mod tests {
    use super::{span, time_left};
    use std::time::Duration;

    #[test]
    fn times_are_told_as_people_tell_them() {
        let said = [0, 81, 119, 120, 264, 596, 740, 3570, 3600, 6900]
            .map(|s| span(Duration::from_secs(s)));
        assert_eq!(
            said,
            [
                "0 s",
                "81 s",
                "119 s",
                "2 min",
                "4 min 20 s",
                "10 min",
                "12 min",
                "1 h 0 min",
                "1 h 0 min",
                "1 h 55 min"
            ]
        );
    }

    #[test]
    fn what_is_left_is_told_once_it_is_known() {
        let seconds = Duration::from_secs;
        assert_eq!(time_left(seconds(1), 5, 10), None);
        assert_eq!(time_left(seconds(60), 1, 10), None);
        assert_eq!(time_left(seconds(60), 20, 40), Some(seconds(120)));
    }
}
