//! Notes and progress bars on standard error; standard output stays free for results.

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::dataset::prepare::Broken;

/// Broken files that are listed one by one.
const LISTED: usize = 20;

/// Where notes and bars go.
#[derive(Clone, Debug)]
pub struct Progress {
    bars: MultiProgress,
    quiet: bool,
}

/// A task with a known number of parts.
#[derive(Clone, Debug)]
pub struct Bar(ProgressBar);

impl Progress {
    /// `quiet` keeps everything but warnings and errors back.
    pub fn new(quiet: bool) -> Self {
        let target =
            if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bars: MultiProgress::with_draw_target(target), quiet }
    }

    /// A line for people. Warnings show even when quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet || text.starts_with("warning") {
            self.bars.suspend(|| eprintln!("{text}"));
        }
    }

    pub fn bar(&self, what: &str, parts: usize) -> Bar {
        let style = ProgressStyle::with_template("{msg:34} {bar:24} {pos}/{len}  {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.bars.add(ProgressBar::new(parts as u64).with_style(style));
        bar.set_message(what.to_owned());
        Bar(bar)
    }

    /// Lists files that could not be used, with a count.
    pub fn broken(&self, files: &[Broken]) {
        if files.is_empty() {
            return;
        }
        self.note(&format!("warning: {} audio files cannot be used:", files.len()));
        for file in files.iter().take(LISTED) {
            self.note(&format!("warning:   {}", file.error));
        }
        if files.len() > LISTED {
            self.note(&format!("warning:   and {} more", files.len() - LISTED));
        }
    }
}

impl Bar {
    pub fn at(&self, done: usize) {
        self.0.set_position(done as u64);
    }

    pub fn message(&self, text: String) {
        self.0.set_message(text);
    }

    pub fn finish(&self) {
        self.0.finish_and_clear();
    }
}
