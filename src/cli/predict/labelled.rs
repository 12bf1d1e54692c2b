//! Songs whose moods are known, on which `--labelled` measures how precise the model is. They are heard as all others
//! are, so that a probability means the same on both sides.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::model;
use crate::dataset::labels::{Labelled, Unlabelled};
use crate::dataset::manifest;
use crate::metrics::Judged;
use crate::model::checkpoint::Description;
use crate::predict::Tagger;
use crate::predict::library::{Library, Options, Outcome, unfinished};
use crate::report::Progress;
use crate::{Error, Result};

/// What a manifest lists.
pub struct KnownSongs {
    moods: Vec<String>,
    labelled: Labelled,
    manifest: PathBuf,
}

impl KnownSongs {
    /// Tracks with none of the moods count against all, whatever the models were trained on.
    ///
    /// # Errors
    /// The manifest cannot be read, or none of its tracks has one of the moods that the `models` know.
    pub fn read(
        path: &Path,
        description: &Description,
        models: &[PathBuf],
        progress: &Progress,
    ) -> Result<Self> {
        let tracks = manifest::read(path, None)?.tell(|note| progress.note(note));
        let moods = description.labels.clone();
        let listed = tracks.len();
        let heard = model::had_tracks(models, &tracks)?.trained;
        if heard > 0 {
            progress.note(&format!(
                "warning: {heard} of the {listed} labelled songs trained this model, which is surer of them than of \
                 others; name songs that it has not heard"
            ));
        }
        let labelled = Labelled::new(tracks, &moods, Unlabelled::Negatives);
        let labelled = labelled.map_err(|error| error.context(path.display()))?;
        labelled.notes.iter().for_each(|note| progress.note(note));
        Ok(Self { moods, labelled, manifest: path.to_owned() })
    }

    /// Hears them, as far as the library does not know them.
    ///
    /// # Errors
    /// The device fails; all is stopped before the last is heard; none can be heard.
    pub fn judge(
        &self,
        library: &mut Library,
        tagger: &mut Tagger,
        options: Options,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Judged> {
        let tracks = &self.labelled.tracks;
        let files: Vec<PathBuf> = tracks.iter().map(|known| known.track.path.clone()).collect();
        let mut judged = Judged {
            moods: self.moods.clone(),
            names: Vec::new(),
            targets: Vec::new(),
            scores: Vec::new(),
        };
        let mut left_out = Vec::new();
        let bar = progress.bar("labelled songs", files.len());
        library.scan(tagger, &files, options, stop, &mut |_, file, outcome| {
            let known = &tracks[file];
            match outcome {
                Outcome::Heard(prediction) if prediction.silent || prediction.padded => {
                    left_out.push(Error::input(format!(
                        "{} is silent, or shorter than a clip",
                        files[file].display()
                    )));
                }
                Outcome::Heard(prediction) => {
                    judged.names.push(known.track.listed.clone());
                    judged.targets.extend(&known.targets);
                    judged.scores.extend(prediction.moods.probabilities());
                }
                Outcome::Failed(error) => left_out.push(error),
                Outcome::Unfinished => left_out.push(unfinished(&files[file])),
            }
            bar.at(judged.clips() + left_out.len());
            Ok(())
        })?;
        if stop.load(Ordering::Relaxed) {
            return Err(Error::stopped(
                "stopped before all labelled songs were heard; the same command goes on with them",
            ));
        }
        match left_out.first() {
            Some(first) if judged.names.is_empty() => Err(Error::input(format!(
                "{}: none of its {} songs can be heard; the first: {first}",
                self.manifest.display(),
                files.len()
            ))),
            Some(first) => {
                progress.note(&format!(
                    "warning: {} of the {} labelled songs cannot be heard and do not count; the first: {first}",
                    left_out.len(),
                    files.len()
                ));
                Ok(judged)
            }
            None => Ok(judged),
        }
    }
}
