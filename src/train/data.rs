//! From a run's configuration to prepared clips.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::dataset::artists::{self, Artists};
use crate::dataset::cache::{CACHE_VARIABLE, FeatureCache, default_root};
use crate::dataset::copies;
use crate::dataset::features::FeatureRecipe;
use crate::dataset::labels::{
    CHOOSE, Labelled, LabelledTrack, MoodChoice, Unlabelled, all_tags, in_every, in_none, shortened,
};
use crate::dataset::manifest::{self, Track};
use crate::dataset::prepare::{
    Broken, Corpus, Prepared, handcrafted_normalization, normalization, prepare,
};
use crate::dataset::split::{Split, one_sided, overlap, share_of, split_hash};
use crate::dataset::synthetic::{self, CorpusSpec};
use crate::error::Kind;
use crate::exec::Device;
use crate::model::Embedder;
use crate::model::checkpoint::{HandcraftedNormalization, Normalization};
use crate::model::preset::Preset;
use crate::ranks::{Ranks, listed};
use crate::report::{Progress, audio_files};
use crate::run::{Config, Data};
use crate::{Error, Result};

/// Labelled tracks of a run, before any audio is read.
#[derive(Serialize, Deserialize)]
pub struct Tracks {
    pub train: Vec<LabelledTrack>,
    pub validation: Vec<LabelledTrack>,
    pub test: Vec<LabelledTrack>,
}

/// A share of the tracks that is much to hold back.
const MUCH: f64 = 0.3;

/// Which of the tracks with these labels are held back, and which are trained on.
pub type HoldBack<'a> = dyn Fn(Vec<LabelledTrack>, &[String]) -> Result<Split> + 'a;

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
            seed: self.split_seed(),
            shuffle_labels: false,
        };
        let bar = progress.bar("composing the synthetic corpus", clips);
        let manifest = synthetic::cached(&spec, &default_root()?, &|done| {
            bar.at(done);
            match stop.load(Ordering::Relaxed) {
                true => Err(Error::stopped("stopped while the synthetic corpus was composed")),
                false => Ok(()),
            }
        });
        let manifest = manifest.map_err(|error| match error.kind {
            Kind::Input => error.followed_by(&format!("{CACHE_VARIABLE} names another folder")),
            _ => error,
        })?;
        self.data.audio_root = manifest.parent().map(Path::to_owned);
        self.data.data = Some(manifest);
        Ok(())
    }
}

impl Config {
    /// Holds tracks back for a run that begins.
    pub(super) fn draw_split(
        &self,
        mut tracks: Vec<LabelledTrack>,
        moods: &[String],
        cache: &FeatureCache,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Split> {
        let bar = progress.bar("looking for artists", tracks.len());
        let mut artists = artists::complete(&mut tracks, stop, &|done| bar.at(done))?;
        drop(bar);
        let bar = progress.bar("looking for copies", tracks.len());
        let contents = copies::contents(&tracks, cache, stop, &|done| bar.at(done))?;
        drop(bar);
        let mut split = Split::by_artist(tracks.clone(), &contents, self.split_seed());
        let own = self.data.data.as_deref().map(manifest::is_own).transpose()? == Some(true);
        if own && matches!(artists, Artists::Known { .. }) {
            // Scores that may be too high tell more than none.
            let lacking = match &split {
                Ok(split) => one_sided(split, moods).map(str::to_owned),
                Err(_) => moods.first().cloned(),
            };
            if let Some(mood) = lacking {
                tracks.iter_mut().for_each(|track| track.track.artist = None);
                let by_track = Split::by_artist(tracks, &contents, self.split_seed());
                if by_track.as_ref().is_ok_and(|split| one_sided(split, moods).is_none()) {
                    (split, artists) = (by_track, Artists::OneSided(mood));
                }
            }
        }
        let Split { train, validation } = split?;
        progress.note(&artists.note());
        let (held_back, all) = (validation.len(), train.len() + validation.len());
        if held_back as f64 > MUCH * all as f64 {
            progress.note(&format!(
                "warning: {held_back} of {all} tracks are held back, so that as many moods as can be are judged: \
                 fewer moods (--moods), or tracks of their own to judge on (--validation), leave more to train on"
            ));
        }
        Ok(Split { train: self.data.shared(train), validation })
    }

    /// Of the split and of the synthetic corpus.
    pub(super) fn split_seed(&self) -> u64 {
        self.data.split_seed.unwrap_or(self.seed)
    }
}

impl Data {
    /// What the run is trained on of all training tracks.
    fn shared(&self, train: Vec<LabelledTrack>) -> Vec<LabelledTrack> {
        match self.train_share {
            Some(share) => share_of(train, share),
            None => train,
        }
    }

    /// Reads the manifests, settles the labels (they go into the preset) and splits.
    /// Where there is no validation manifest, `hold_back` says which tracks take its part.
    pub fn tracks(
        &self,
        preset: &mut Preset,
        hold_back: &HoldBack<'_>,
        progress: &Progress,
    ) -> Result<Tracks> {
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
        if choice == MoodChoice::All {
            let name = manifest.file_name().unwrap_or(manifest.as_os_str()).to_string_lossy();
            progress.note(&all_tags(&preset.moods, &name));
        }
        let label = |path: &Path, tracks| -> Result<Vec<LabelledTrack>> {
            let unlabelled =
                if self.negatives { Unlabelled::Negatives } else { Unlabelled::LeftOut };
            let labelled = Labelled::new(tracks, &preset.moods, unlabelled)
                .map_err(|error| error.context(path.display()).followed_by(CHOOSE))?;
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            if let Some(warning) = &labelled.warning {
                progress.note(&format!("warning: {name}: {warning}"));
            }
            for note in &labelled.notes {
                progress.note(&format!("{name}: {note}"));
            }
            if labelled.negatives > 0 {
                progress.note(&format!(
                    "{name}: {} tracks have none of the {} moods, and are examples of that",
                    labelled.negatives,
                    preset.moods.len()
                ));
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
        let Split { train, validation } = match &self.validation {
            Some(path) => Split { train: self.shared(all), validation: read(path)? },
            None => hold_back(all, &preset.moods)?,
        };
        let moods = &preset.moods;
        let every = in_every(moods, &train);
        if !every.is_empty() && every.len() < moods.len() {
            progress.note(&format!(
                "warning: every training clip has the mood {}: there is nothing to learn about it",
                shortened(&every)
            ));
        }
        if self.validation.is_none() {
            let absent: Vec<&str> = in_none(moods, &train);
            let held_back = in_none(moods, &validation);
            let absent: Vec<&str> =
                absent.into_iter().filter(|mood| !held_back.contains(mood)).collect();
            if !absent.is_empty() {
                progress.note(&format!(
                    "warning: no training clip has the mood {}: all that have it are held back",
                    shortened(&absent)
                ));
            }
        }
        // Where the program splits, it sees to the artists of both sides.
        let given: &[LabelledTrack] = if self.validation.is_some() { &validation } else { &[] };
        let have_tags = manifest::is_own(manifest)?;
        let of_artists = artists::shared(&train, [given, &test], have_tags)?;
        for ((name, other), of_artists) in
            [("validation", &validation), ("test", &test)].into_iter().zip(of_artists)
        {
            let shared = overlap(&train, other);
            if shared > 0 {
                progress.note(&format!(
                    "warning: {shared} tracks are in the training and in the {name} data; scores \
                     on them say little"
                ));
            }
            if of_artists > 0 {
                progress.note(&format!(
                    "warning: {of_artists} of {} {name} tracks are by artists of the training data: the \
                     score may be too high",
                    other.len()
                ));
            }
        }
        let chosen_by = overlap(&validation, &test);
        if chosen_by > 0 {
            progress.note(&format!(
                "warning: {chosen_by} tracks are in the validation and in the test data: the epoch and the \
                 thresholds are chosen by them, so that the score of the test is a little too high"
            ));
        }
        Ok(Tracks { train, validation, test })
    }
}

impl Tracks {
    /// Refuses training tracks that all have all of the moods.
    pub fn check_learnable(&self, moods: &[String]) -> Result<()> {
        let every = in_every(moods, &self.train);
        if every.len() < moods.len() {
            return Ok(());
        }
        Err(Error::input(format!(
            "every training clip has the mood {}: there is nothing to learn. tracks \
             without the mood are needed: untagged ones in the manifest are examples of that, and so \
             are those of other moods (--moods)",
            shortened(&every)
        )))
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

    /// Refuses clips that are others than those of another rank.
    pub fn agree(&self) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        for clip in self.parts().into_iter().flatten() {
            hasher.update(clip.track.track.listed.as_bytes());
            hasher.update(clip.content.as_bytes());
        }
        let differing = Ranks::this().differing(hasher.finalize().as_bytes())?;
        if differing.is_empty() {
            return Ok(());
        }
        Err(Error::input(format!(
            "ranks {} read other audio than rank 0, or cannot read some of it: every host needs all \
             files of the manifests, the same and under the same paths, as a shared file system has \
             them",
            listed(&differing)
        )))
    }

    /// Computes what is missing in the cache and measures the normalisation.
    pub fn prepare(
        tracks: Tracks,
        config: &Config,
        device: &Device,
        Begin { mut frozen, normalization: given }: Begin<'_>,
        cache: &FeatureCache,
        stop: &AtomicBool,
        progress: &Progress,
    ) -> Result<Self> {
        let Tracks { train, validation, test } = tracks;
        let recipe = FeatureRecipe::of(&config.preset);
        let ranks = Ranks::this();
        // What a rank computes, others find in the cache; first among all ranks and then, for hosts that
        // have a cache each, among those of a host.
        let mut shares = vec![[ranks.rank(), ranks.count()], ranks.local()];
        // All on one host: once is enough; alone: not even that.
        shares.dedup();
        shares.retain(|_| ranks.has_others());
        for [rank, count] in shares {
            let all = train.iter().chain(&validation).chain(&test);
            let own: Vec<LabelledTrack> = all.skip(rank).step_by(count).cloned().collect();
            let bar = progress.bar("features of this rank's clips", own.len());
            let frozen = frozen.as_deref_mut();
            prepare(own, device, &recipe, frozen, cache, stop, &|done| bar.at(done))?;
            drop(bar);
            ranks.meet()?;
        }
        let mut broken = Vec::new();
        let mut one = |name: &str, tracks: Vec<LabelledTrack>| -> Result<Vec<Prepared>> {
            if tracks.is_empty() {
                return Ok(Vec::new());
            }
            let count = tracks.len();
            let bar = progress.bar(&format!("features of the {name} clips"), count);
            let frozen = frozen.as_deref_mut();
            let corpus: Corpus =
                prepare(tracks, device, &recipe, frozen, cache, stop, &|done| bar.at(done))?;
            drop(bar);
            for note in corpus.notes(config.preset.audio.clip_seconds) {
                progress.note(&format!("{name}: {note}"));
            }
            if let ([], Some(first)) = (&*corpus.clips, corpus.broken.first()) {
                return Err(first.instead_of_all(&format!("{count} {name} tracks")));
            }
            broken.extend(corpus.broken);
            Ok(corpus.clips)
        };
        let train = one("training", train)?;
        let validation = one("validation", validation)?;
        let test = one("test", test)?;
        let copied = copies::count(train.iter().chain(&validation).chain(&test));
        if copied > 0 {
            progress.note(&format!("{copied} tracks are byte for byte copies of others"));
        }
        let unlike = copies::with_other_moods(train.iter().chain(&validation).chain(&test));
        if let Some((one, other)) = unlike.first() {
            progress.note(&format!(
                "warning: {} of the copies have other moods than the first, so that each says of the other's moods \
                 that the song lacks them: name a song once, with all of its moods ({} = {}{})",
                unlike.len(),
                one.track.listed,
                other.track.listed,
                if unlike.len() > 1 { ", …" } else { "" }
            ));
        }
        for (name, other) in [("validation", &validation), ("test", &test)] {
            let copied = copies::across(&train, other);
            if !copied.is_empty() {
                progress.note(&copies_warning(name, &copied));
            }
        }
        if let Some(warning) = cache.unwritten() {
            progress.note(&warning);
        }
        let size = cache.size()?;
        progress.note(&format!("feature cache: {size} in {}", cache.folder().display()));
        if let Some(first) = broken.first() {
            let all = train.len() + validation.len() + test.len() + broken.len();
            progress.note(&format!(
                "warning: {} of {all} cannot be used and {} left out; the first: {}",
                audio_files(broken.len()),
                if broken.len() == 1 { "is" } else { "are" },
                first.error
            ));
        }
        let used = |clips: &[Prepared]| -> Vec<LabelledTrack> {
            clips.iter().map(|clip| clip.track.clone()).collect()
        };
        let split = split_hash(&config.preset.moods, &used(&train), &used(&validation));
        let measured = || -> Result<Normalization> {
            let (mean, std) = normalization(&train)?;
            let handcrafted = handcrafted_normalization(&train)
                .map(|[mean, std]| HandcraftedNormalization { mean, std });
            Ok(Normalization { mean, std, handcrafted })
        };
        let normalization = given.map_or_else(measured, Ok)?;
        Ok(Self {
            train: Arc::new(train),
            validation: Arc::new(validation),
            test: Arc::new(test),
            normalization,
            split,
            broken,
        })
    }
}

/// What a run has before its clips are prepared.
pub struct Begin<'a> {
    /// The layers that it leaves as they are.
    pub frozen: Option<&'a mut Embedder>,
    /// Where it is not measured on the training clips.
    pub normalization: Option<Normalization>,
}

/// Pairs that a warning names.
const NAMED: usize = 3;

/// `copied` are tracks of the `name` data, each with the training track that it is a copy of.
fn copies_warning(name: &str, copied: &[(&LabelledTrack, &LabelledTrack)]) -> String {
    let pair = |(one, other): &(&LabelledTrack, &LabelledTrack)| {
        format!("{} = {}", one.track.listed, other.track.listed)
    };
    let named: Vec<String> = copied.iter().take(NAMED).map(pair).collect();
    format!(
        "warning: {} tracks of the {name} data have the same audio as training tracks: the score is \
         too high ({}{})",
        copied.len(),
        named.join(", "),
        if copied.len() > NAMED { ", …" } else { "" }
    )
}
