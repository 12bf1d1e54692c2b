//! `moodshader learning-curve`.

use std::path::PathBuf;

use clap::Args;

use super::source::default_out;
use super::train::Train;
use super::{open_device, stop_on_interrupt};
use crate::learning_curve::learning_curve;
use crate::output;
use crate::train::Until;
use crate::{Error, Result};

/// Tell whether more labelled tracks would help: train on 25, 50 and 100 % of them.
///
/// All three models are judged on the same validation clips. Takes what train takes, but for --resume,
/// --max-steps and --seeds; the same command with the same --out goes on where it was stopped. The folder has a run for
/// each share, learning-curve.csv, and learning-curve.html with a plot.
#[derive(Args, Debug)]
pub struct LearningCurve {
    #[command(flatten)]
    train: Train,
}

impl LearningCurve {
    pub fn run(&self) -> Result<()> {
        let progress = self.train.progress();
        self.train.check_whole()?;
        let (config, _) = self.train.config(&progress)?;
        let out: PathBuf = match self.train.out() {
            Some(out) => out.to_owned(),
            None => default_out("learning-curve"),
        };
        let stop = stop_on_interrupt(&progress, "as soon as the state is saved")?;
        let until = Until { stop: &stop, max_steps: None };
        let device = open_device(&config.device, &progress)?;
        let curve = learning_curve(&config, &out, &device, until, &progress)?;
        output::line(curve.text());
        output::line(out.display());
        progress.note(&format!("plot: {}", out.join("learning-curve.html").display()));
        Ok(())
    }
}

impl Train {
    /// Refuses what is for a single run.
    fn check_whole(&self) -> Result<()> {
        match self.is_part() {
            false => Ok(()),
            true => Err(Error::input(
                "learning-curve takes neither --resume nor --max-steps nor --seeds: the same command with the same --out \
                 goes on",
            )),
        }
    }
}
