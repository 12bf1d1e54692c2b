//! From a run's configuration to prepared clips.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::dataset::cache::{FeatureCache, default_root};
use crate::dataset::features::FeatureRecipe;
use crate::dataset::labels::{CHOOSE, Labelled, LabelledTrack, MoodChoice};
use crate::dataset::manifest::{self, Track};
use crate::dataset::prepare::{
    Broken, Corpus, Prepared, handcrafted_normalization, normalization, prepare,
};
use crate::dataset::split::{Split, overlap, split_hash};
use crate::dataset::synthetic::{self, CorpusSpec};
use crate::exec::Device;
use crate::model::checkpoint::{HandcraftedNormalization, Normalization};
use crate::model::preset::Preset;
use crate::report::{Progress, audio_files};
use crate::run::{Config, Data};
use crate::{Error, Result};

/// Labelled tracks of a run, before any audio is read.
pub struct Tracks {
    pub train: Vec<LabelledTrack>,
    pub validation: Vec<LabelledTrack>,
    pub test: Vec<LabelledTrack>,
}

/// Clips with features in the cache.
pub struct Clips {
    pub train: Arc<Vec<Prepared>>,
    pub validation: Arc<Vec<Prepared>>,
    pub test: Arc<Vec<Prepared>>,
    pub normalization: Normalization,
    pub split: String,
    /// Files of all manifests that could not be used.
    pub broken: Vec<Broken>,
}

impl Config {
    /// Makes the synthetic corpus if a run has no data of its own, and names its manifest. The cache
    /// may lie elsewhere than when the run began.
    pub(super) fn synthesise(&mut self, stop: &AtomicBool, progress: &Progress) -> Result<()> {
        let Some(clips) = self.data.synthetic_clips else { return Ok(()) };
        let spec = CorpusSpec {
            clips,
            clip_seconds: self.data.synthetic_seconds.unwrap_or(self.preset.audio.clip_seconds),
            seed: self.data.split_seed.unwrap_or(self.seed),
            shuffle_labels: false,
        };
        // Refuses a folder that cannot be written, and says what to do.
        FeatureCache::open(None)?;
        let bar = progress.bar("composing the synthetic corpus", clips);
        let manifest = synthetic::cached(&spec, &default_root()?, &|done| {
            bar.at(done);
            match stop.load(Ordering::Relaxed) {
                true => Err(Error::stopped("stopped while the synthetic corpus was composed")),
                false => Ok(()),
            }
        })?;
        self.data.audio_root = manifest.parent().map(Path::to_owned);
        self.data.data = Some(manifest);
        Ok(())
    }
}

impl Data {
    /// Reads the manifests, settles the labels (they go into the preset) and splits.
    pub fn tracks(&self, preset: &mut Preset, seed: u64, progress: &Progress) -> Result<Tracks> {
        let manifest = self
            .data
            .as_deref()
            .ok_or_else(|| Error::failure("the run has no training manifest"))?;
        let root = self.audio_root.as_deref();
        let read = |path: &Path| -> Result<Vec<Track>> {
            Ok(manifest::read(path, root)?.tell(|note| progress.note(note)))
        };
        let tracks = read(manifest)?;
        let choice = match &self.moods {
            None => MoodChoice::Preset(preset.moods.clone()),
            Some(moods) => MoodChoice::parse(moods)?,
        };
        preset.moods = choice.labels(&tracks)?;
        preset.validate()?;
        let label = |path: &Path, tracks| -> Result<Vec<LabelledTrack>> {
            let labelled = Labelled::new(tracks, &preset.moods)
                .map_err(|error| error.context(path.display()).followed_by(CHOOSE))?;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            for warning in &labelled.warnings {
                progress.note(&format!("warning: {name}: {warning}"));
            }
            if labelled.left_out > 0 {
                progress.note(&format!(
                    "{name}: {} tracks without any of the {} moods are left out",
                    labelled.left_out,
                    preset.moods.len()
                ));
            }
            Ok(labelled.tracks)
        };
        let read = |path: &Path| label(path, read(path)?);
        let all = label(manifest, tracks)?;
        let test = self.test.as_deref().map(read).transpose()?.unwrap_or_default();
        let (train, validation) = match &self.validation {
            Some(path) => (all, read(path)?),
            None => {
                let split = Split::by_artist(all, self.split_seed.unwrap_or(seed))?;
                (split.train, split.validation)
            }
        };
        for (name, other) in [("validation", &validation), ("test", &test)] {
            let shared = overlap(&train, other);
            if shared > 0 {
                progress.note(&format!(
                    "warning: {shared} tracks are in the training and in the {name} data; scores \
                     on them say little"
                ));
            }
        }
        Ok(Tracks { train, validation, test })
    }
}

/// Farthest that a mean or a deviation of the same audio may lie apart on two devices, in dB or in
/// parts of the deviation: twice the tolerance of features against librosa.
const SAME_AUDIO: f64 = 0.02;

impl Clips {
    /// Training, validation and test.
    pub fn parts(&self) -> [&[Prepared]; 3] {
        [&self.train, &self.validation, &self.test].map(|clips| &***clips)
    }

    /// Keeps the normalisation that a run began with where this one differs by no more than devices
    /// do, so that a run may go on on another one, or with a newer driver.
    pub fn keep_normalization(&mut self, kept: Normalization) {
        let close = |a: f64, b: f64, unit: f64| (a - b).abs() <= SAME_AUDIO * unit;
        let now = self.normalization;
        let same_log_mel = close(now.mean, kept.mean, 1.0) && close(now.std, kept.std, 1.0);
        let same_handcrafted = match (now.handcrafted, kept.handcrafted) {
            (None, None) => true,
            (Some(now), Some(kept)) => (0..kept.std.len()).all(|at| {
                close(now.mean[at], kept.mean[at], kept.std[at])
                    && close(now.std[at], kept.std[at], kept.std[at])
            }),
            _ => false,
        };
        if same_log_mel && same_handcrafted {
            self.normalization = kept;
        }
    }

    /// Computes what is missing in the cache and measures the normalisation.
    pub fn prepare(
        tracks: Tracks,
        config: &Config,
        device: &Device,
        cache: &FeatureCache,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Self> {
        let Tracks { train, validation, test } = tracks;
        let recipe = FeatureRecipe::of(&config.preset);
        let mut broken = Vec::new();
        let mut one = |name: &str, tracks: Vec<LabelledTrack>| -> Result<Vec<Prepared>> {
            if tracks.is_empty() {
                return Ok(Vec::new());
            }
            let count = tracks.len();
            let bar = progress.bar(&format!("features of the {name} clips"), count);
            let corpus: Corpus =
                prepare(tracks, device, &recipe, cache, stop, &|done| bar.at(done))?;
            drop(bar);
            if corpus.padded > 0 {
                progress.note(&format!(
                    "{name}: {} clips are shorter than {} s and padded with silence",
                    corpus.padded, config.preset.audio.clip_seconds
                ));
            }
            if corpus.truncated > 0 {
                progress.note(&format!(
                    "{name}: {} files end before their header says; what is there is used",
                    corpus.truncated
                ));
            }
            if corpus.damaged > 0 {
                progress.note(&format!(
                    "{name}: {} files have parts that cannot be decoded and are silent",
                    corpus.damaged
                ));
            }
            if let ([], Some(first)) = (&*corpus.clips, corpus.broken.first()) {
                return Err(Error::input(format!(
                    "none of the {count} {name} tracks can be read; the first: {}; if the paths \
                     are relative to another folder, name it with --audio-root",
                    first.error
                )));
            }
            broken.extend(corpus.broken);
            Ok(corpus.clips)
        };
        let train = one("training", train)?;
        let validation = one("validation", validation)?;
        let test = one("test", test)?;
        let size = cache.size()?;
        progress.note(&format!("feature cache: {size} in {}", cache.folder().display()));
        if let Some(first) = broken.first() {
            let all = train.len() + validation.len() + test.len() + broken.len();
            progress.note(&format!(
                "warning: {} of {all} cannot be used and are left out; the first: {}",
                audio_files(broken.len()),
                first.error
            ));
        }
        let used = |clips: &[Prepared]| -> Vec<LabelledTrack> {
            clips.iter().map(|clip| clip.track.clone()).collect()
        };
        let split = split_hash(&config.preset.moods, &used(&train), &used(&validation));
        let (mean, std) = normalization(&train)?;
        let handcrafted = handcrafted_normalization(&train)
            .map(|[mean, std]| HandcraftedNormalization { mean, std });
        Ok(Self {
            train: Arc::new(train),
            validation: Arc::new(validation),
            test: Arc::new(test),
            normalization: Normalization { mean, std, handcrafted },
            split,
            broken,
        })
    }
}
