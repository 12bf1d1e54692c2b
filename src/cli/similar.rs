//! `moodshader similar`: the songs that sound most like one.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{
    Common, Format, Strictness, check_result, list_errors, model, open_device, run_again,
    stop_on_interrupt, to_json,
};
use crate::audio::{credits, find_audio};
use crate::files::{names_note, path_text};
use crate::model::builtin;
use crate::output;
use crate::predict::embeddings::{Embeddings, embed, nearest};
use crate::predict::library::Options;
use crate::predict::playlist::{self, Entry};
use crate::report::audio_files;
use crate::{Error, Result};

/// Find the songs of a library that sound most like one.
///
/// Songs are compared by what the model's last layer reads: 1 is the same direction (cosine), 0 has
/// nothing in common. Files that are silent throughout, or shorter than a clip, are not among them. What was
/// computed of a file is kept in the cache, so that the next question is answered at once. A broken file, or a folder that cannot be listed, does not stop the rest: it is listed
/// at the end, and the exit status is 1.
#[derive(Args, Debug)]
pub struct Similar {
    /// The song.
    #[arg(value_name = "SONG")]
    song: PathBuf,
    /// Audio files to look among, or folders of them.
    #[arg(long = "in", required = true, num_args = 1.., value_name = "PATH")]
    library: Vec<PathBuf>,
    /// How many songs.
    #[arg(long, value_name = "N", default_value = "20")]
    top: NonZeroUsize,
    /// Write the song and those found as a playlist, the nearest first.
    #[arg(long, value_name = "FILE")]
    playlist: Option<PathBuf>,
    /// A run's folder, a checkpoint such as its best.safetensors, or a built-in model: musicnn-msd or
    /// musicnn-mtt.
    #[arg(long, short, value_name = "MODEL", default_value = builtin::DEFAULT)]
    model: PathBuf,
    /// How many clips of each file are heard, evenly spread, or `all`.
    #[arg(long, value_name = "N|all")]
    windows: Option<model::Windows>,
    /// Text for people, or JSON for programs.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    strictness: Strictness,
    #[command(flatten)]
    common: Common,
}

impl Similar {
    pub fn run(&self) -> Result<()> {
        let progress = self.common.progress();
        let checkpoint = model::open(&self.model)?;
        model::introduce(&self.model, &checkpoint.description()?, &progress);
        let mut found = find_audio(&self.library)?;
        found.notes().chain(names_note(&found.files)).for_each(|note| progress.note(&note));
        if let Some(playlist) = &self.playlist {
            if let Some(folder) = playlist.parent().filter(|folder| !folder.as_os_str().is_empty())
            {
                std::fs::create_dir_all(folder)
                    .map_err(|error| Error::io("make", folder, &error).context("--playlist"))?;
            }
            if playlist.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("nsp")) {
                return Err(Error::input(format!(
                    "--playlist {}: a rule of Navidrome's cannot say what sounds like a song; name an .m3u8",
                    playlist.display()
                )));
            }
            playlist::check_free(playlist)?;
            let model = model::files([&self.model]);
            check_result(playlist, found.files.iter().chain(&model).chain([&self.song]))?;
        }
        let mut failed: Vec<Error> = found.unlisted.drain(..).map(|(_, error)| error).collect();
        let song =
            self.song.canonicalize().map_err(|error| Error::io("read", &self.song, &error))?;
        let others =
            found.files.iter().filter(|file| file.canonicalize().ok().as_ref() != Some(&song));
        let files: Vec<PathBuf> =
            std::iter::once(self.song.clone()).chain(others.cloned()).collect();
        let stop = stop_on_interrupt(&progress, "with what is in the cache so far")?;
        let device = open_device(&self.common.device, &progress)?;
        let mut tagger =
            model::tagger(std::slice::from_ref(&checkpoint), &self.model, self.windows, &device)?;
        let models = std::slice::from_ref(&self.model);
        let mut library = model::library(models, &[checkpoint], &mut tagger, &device, &progress);
        let same_device = self.common.names_device();
        let options = Options { same_device, ..Options::default() };
        let bar = progress.bar("listening", files.len());
        let embedded =
            embed(&mut tagger, &mut library, &files, options, &stop, &|done| bar.at(done))
                .map_err(|error| run_again(error, "what it has listened to is in the cache"))?;
        drop(bar);
        embedded.notes().iter().for_each(|note| progress.note(note));
        embedded.complete(files.len(), &stop)?;
        let Embeddings { files: heard, vectors, telling, failed: broken, .. } = embedded;
        if heard.first() != Some(&self.song) {
            let own = broken.into_iter().find(|(file, _)| *file == self.song);
            return Err(own.map(|(_, error)| error).unwrap_or_else(|| {
                Error::input(format!("{} cannot be heard", self.song.display()))
            }));
        }
        failed.extend(self.strictness.sort_out(&found, broken, &progress));
        let mut near = nearest(&vectors, 0);
        near.retain(|&(file, _)| telling[file]);
        near.truncate(self.top.get());
        if near.is_empty() {
            let nothing = "--in: there is no other song that can be heard and is more than silence";
            return Err(Error::input(match failed.first() {
                Some(first) => format!("{nothing}; the first that cannot: {first}"),
                None => nothing.to_owned(),
            }));
        }
        match self.format {
            Format::Text => {
                for (file, likeness) in &near {
                    output::line(format_args!("{likeness:.3}  {}", path_text(&heard[*file])));
                }
            }
            Format::Json => {
                let songs = near.iter().map(|(file, likeness)| {
                    json!({"path": path_text(&heard[*file]), "likeness": likeness})
                });
                output::line(to_json(&songs.collect::<Vec<_>>())?);
            }
        }
        if let Some(path) = &self.playlist {
            let entries: Vec<Entry> = std::iter::once((0, 1.0))
                .chain(near.iter().copied())
                .map(|(file, probability)| Entry {
                    path: heard[file].clone(),
                    duration: crate::audio::seconds(&heard[file]).unwrap_or(-1.0),
                    probability,
                    credits: credits(&heard[file]),
                })
                .collect();
            let title = self.song.file_stem().unwrap_or_default().to_string_lossy();
            let without = playlist::write(path, &format!("like {title}"), &entries)?;
            progress.note(&format!(
                "{} in {}",
                audio_files(entries.len() - without.len()),
                path.display()
            ));
            failed.extend(without.into_iter().map(|entry| playlist::left_out(&entry.path)));
        }
        match failed.is_empty() {
            true => Ok(()),
            false => Err(list_errors(
                &format!("{} of {} files cannot be used:", failed.len(), files.len()),
                &failed,
            )),
        }
    }
}
