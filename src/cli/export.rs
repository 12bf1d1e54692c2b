//! `moodshader export`.

use std::path::PathBuf;

use clap::Args;

use super::model;
use crate::Result;
use crate::files::{check_output, write_atomically};
use crate::model::onnx::{Input, export};
use crate::output;

/// Write a model as ONNX, for onnxruntime and others.
///
/// The input is log_mel [batch, mels, frames] in dB, as the command features writes it, and the
/// output probabilities [batch, moods]. A model with hand-crafted features has a second input,
/// handcrafted [batch, 6]. The file's metadata holds labels, preset and normalisation.
#[derive(Args, Debug)]
pub struct Export {
    #[command(flatten)]
    model: model::Named,
    /// The file to write; one that is there is replaced.
    #[arg(long, short, value_name = "FILE.onnx")]
    out: PathBuf,
    /// Take samples [batch, samples] at the preset's rate, and compute the features in the graph.
    #[arg(long)]
    with_features: bool,
}

impl Export {
    pub fn run(&self) -> Result<()> {
        let checkpoint = model::open(self.model.path())?;
        check_output(&self.out, [&self.model.path().to_owned()])?;
        let input = if self.with_features { Input::Samples } else { Input::LogMel };
        let bytes = export(&checkpoint, input)
            .map_err(|error| error.context(self.model.path().display()))?;
        write_atomically(&self.out, &bytes)?;
        output::line(self.out.display());
        Ok(())
    }
}
