//! `moodshader embed`: what a model makes of music, as an array.

use std::path::PathBuf;

use clap::Args;

use super::{
    Common, Strictness, check_result, list_errors, model, open_device, run_again, stop_on_interrupt,
};
use crate::audio::find_audio;
use crate::files::{names_note, path_line, write_atomically};
use crate::model::builtin;
use crate::predict::embeddings::{Embeddings, embed};
use crate::predict::library::Options;
use crate::report::audio_files;
use crate::{Error, Result};

/// Write what a model makes of music: one vector a file, for programs of your own.
///
/// The vector is what the model's last layer reads, averaged over the clips that are heard: 200 numbers
/// of the built-in model. Songs that sound alike have vectors of about the same direction. OUT.npy is a
/// float32 array [files, numbers], and OUT.txt beside it names the files, one a line in the array's
/// order. A broken file, or a folder that cannot be listed, does not stop the rest: it is listed at the end,
/// and the exit status is 1.
#[derive(Args, Debug)]
pub struct Embed {
    /// Audio files, or folders of them.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The array to write, OUT.npy.
    #[arg(long, short, value_name = "FILE")]
    out: PathBuf,
    /// A run's folder, a checkpoint such as its best.safetensors, or a built-in model: musicnn-msd or
    /// musicnn-mtt.
    #[arg(long, short, value_name = "MODEL", default_value = builtin::DEFAULT)]
    model: PathBuf,
    /// How many clips of each file are heard, evenly spread, or `all`.
    #[arg(long, value_name = "N|all")]
    windows: Option<model::Windows>,
    #[command(flatten)]
    strictness: Strictness,
    #[command(flatten)]
    common: Common,
}

impl Embed {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        if self.out.extension().is_none_or(|ending| ending != "npy") {
            return Err(Error::input(format!(
                "--out {}: the array is written in NumPy's format; let the name end with .npy",
                self.out.display()
            )));
        }
        let names = self.out.with_extension("txt");
        let checkpoint = model::open(&self.model)?;
        model::introduce(&self.model, &checkpoint.description()?, &progress);
        let mut found = find_audio(&self.paths)?;
        found.notes().chain(names_note(&found.files)).for_each(|note| progress.note(&note));
        for out in [&self.out, &names] {
            check_result(out, found.files.iter().chain(&model::files([&self.model])))?;
        }
        if names.exists() && !self.out.exists() {
            return Err(Error::input(format!(
                "{} is in the way: the names of the files would be written there; choose another --out",
                names.display()
            )));
        }
        let mut failed: Vec<Error> = found.unlisted.drain(..).map(|(_, error)| error).collect();
        let all = found.files.len() + failed.len();
        let stop = stop_on_interrupt(&progress, "with what is in the cache so far")?;
        let device = open_device(&self.common.device, &progress)?;
        let mut tagger =
            model::tagger(std::slice::from_ref(&checkpoint), &self.model, self.windows, &device)?;
        let models = std::slice::from_ref(&self.model);
        let mut library = model::library(models, &[checkpoint], &mut tagger, &device, &progress);
        let same_device = self.common.names_device();
        let options = Options { same_device, ..Options::default() };
        let bar = progress.bar("embedding", found.files.len());
        let files = &found.files;
        let embedded =
            embed(&mut tagger, &mut library, files, options, &stop, &|done| bar.at(done))
                .map_err(|error| run_again(error, "what it has listened to is in the cache"))?;
        drop(bar);
        embedded.notes().iter().for_each(|note| progress.note(note));
        embedded
            .complete(found.files.len(), &stop)
            .map_err(|error| error.followed_by("the array is written once all are"))?;
        let Embeddings { files, vectors, failed: broken, .. } = embedded;
        failed.extend(self.strictness.sort_out(&found, broken, &progress));
        if !files.is_empty() {
            let lines: Vec<String> = files.iter().map(|file| path_line(file) + "\n").collect();
            // Rows never stand beside the names of others.
            match std::fs::remove_file(&names) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", &names, &error));
                }
                _ => {}
            }
            write_atomically(&self.out, &crate::dataset::export::npy_of(&vectors))?;
            write_atomically(&names, lines.concat().as_bytes())?;
            progress.note(&format!(
                "{} in {}, named in {}",
                audio_files(files.len()),
                self.out.display(),
                names.display()
            ));
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(list_errors(
                &format!("{} of {all} files cannot be used:", failed.len()),
                &failed,
            )),
        }
    }
}
