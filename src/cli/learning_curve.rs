//! `moodshader learning-curve`.

use std::path::PathBuf;

use clap::Args;

use super::source::default_out;
use super::train::Training;
use super::{Common, open_device, stop_on_interrupt};
use crate::Result;
use crate::learning_curve::learning_curve;
use crate::output;
use crate::train::Until;

/// Tell whether more labelled tracks would help: train on 25, 50 and 100 % of them.
///
/// All three models are judged on the same validation clips. The same command with the same --out goes
/// on where it was stopped. The folder has a run for each share, learning-curve.csv, and
/// learning-curve.html with a plot.
#[derive(Args, Debug)]
pub struct LearningCurve {
    #[command(flatten)]
    training: Training,
    #[command(flatten)]
    common: Common,
}

impl LearningCurve {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let (config, _) = self.training.config(&self.common.device, &progress)?;
        let out: PathBuf = match self.training.out() {
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
