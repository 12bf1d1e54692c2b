//! `moodshader export`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{check_result, model};
use crate::Result;
use crate::files::{path_text, write_atomically};
use crate::model::builtin;
use crate::model::onnx::{Input, export};
use crate::output;
use crate::report::Progress;
use crate::run::RunFolder;
use crate::site::{self, Options, Precision, Size};

/// Write a model as ONNX, for onnxruntime and others, or as a site that names moods in a browser.
///
/// The input of the ONNX model is log_mel [batch, mels, frames], as the command features writes it (in dB; MusiCNN's
/// as log10(1 + 10000·S)), and the output probabilities [batch, moods]. A model with hand-crafted features has a
/// second input, handcrafted [batch, 6]. The file's metadata holds labels, preset and normalisation.
///
/// The site computes what predict computes, with the same shaders, on WebGPU; songs do not leave the
/// visitor's computer. It is a folder of files for any web server, such as python3 -m http.server, and
/// index.html can be opened as a file too.
#[derive(Args, Debug)]
pub struct Export {
    /// A run's folder, a checkpoint such as its best.safetensors, or a built-in model: musicnn-msd or
    /// musicnn-mtt [default of --web: musicnn-msd].
    #[arg(value_name = "MODEL", conflicts_with = "model",
          required_unless_present_any = ["model", "web"])]
    place: Option<PathBuf>,
    /// The model, by name.
    #[arg(long, short, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The ONNX file to write; one that is there is replaced.
    #[arg(long, short, value_name = "FILE.onnx", required_unless_present = "web")]
    out: Option<PathBuf>,
    /// Take samples [batch, samples] at the preset's rate, and compute the features in the graph.
    #[arg(long, requires = "out")]
    with_features: bool,
    /// Write a site into this folder; one that is there is replaced.
    #[arg(long, value_name = "DIR")]
    web: Option<PathBuf>,
    /// Write the site's weights with two bytes a number: 3.9 MB instead of 5.5, and each rounded to 11
    /// bits, by which probabilities of musicnn-msd moved by 0.0023 at most on 40 songs.
    #[arg(long, requires = "web")]
    float16: bool,
    /// Add a page that verifies every kernel in the browser, as verify does here: some 370 files, 170 MB.
    #[arg(long, requires = "web")]
    verification: bool,
}

impl Export {
    pub fn run(&self) -> Result<()> {
        let progress = Progress::new(false);
        let given = self.place.as_deref().or(self.model.as_deref());
        let path = given.unwrap_or(Path::new(builtin::DEFAULT));
        let checkpoint = model::open(path)?;
        if let Some(out) = &self.out {
            check_result(out, model::files([&path.to_owned()]))?;
        }
        if let Some(folder) = &self.web {
            let options = Options {
                precision: if self.float16 { Precision::Float16 } else { Precision::Float32 },
                verification: self.verification,
            };
            let mut bar = None;
            let name = named(path);
            let Size { page, weights } =
                site::write(folder, &name, &checkpoint, options, |done, all| {
                    bar.get_or_insert_with(|| progress.bar("verification cases", all)).at(done);
                })?;
            drop(bar);
            output::line(path_text(&folder.join("index.html")));
            progress.note(&format!(
                "a page of {} kB and {:.1} MB of weights and tables; open index.html, or serve the folder: \
                 python3 -m http.server, started in it",
                page.div_ceil(1000),
                weights as f64 / 1e6
            ));
        }
        if let Some(out) = &self.out {
            let input = if self.with_features { Input::Samples } else { Input::LogMel };
            let bytes =
                export(&checkpoint, input).map_err(|error| error.context(path.display()))?;
            write_atomically(out, &bytes)?;
            output::line(out.display());
        }
        Ok(())
    }
}

/// What visitors are told that the model is called: the path to it is nobody's business.
fn named(model: &Path) -> String {
    let file = match model.file_name() {
        Some(name) if RunFolder::at(model.parent().unwrap_or(model)).best() == model => {
            model.parent().and_then(Path::file_name).unwrap_or(name)
        }
        Some(name) => name,
        None => return "a model".to_owned(),
    };
    let name = path_text(Path::new(file));
    name.strip_suffix(".safetensors").unwrap_or(&name).to_owned()
}
