//! Makes sure that every track's features lie in the cache.
//!
//! Audio is decoded on all cores while the device transforms the clips before. A file that cannot
//! be used is kept aside with its error; the rest goes on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use blake3::Hash;
use rayon::prelude::*;

use super::cache::{FeatureCache, Key, Remarks};
use super::features::{Extractor, FeatureRecipe, Features};
use super::labels::LabelledTrack;
use crate::audio;
use crate::exec::Device;
use crate::files::name_alike;
use crate::kernels::features::HANDCRAFTED;
use crate::model::{Embedder, Made};
use crate::{Error, Result};

/// Tracks that are decoded before the device gets them: enough to keep all cores busy ...
const GROUP: usize = 16;
/// ... and no more samples than these, 64 MiB, but for a track that is longer by itself.
const GROUP_SAMPLES: usize = 16 << 20;

/// A track whose features are in the cache.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The track and its moods.
    pub track: LabelledTrack,
    /// The hash of its file.
    pub content: Hash,
    /// Names what a model reads of it in the cache: log-mel spectrograms, or what frozen layers made of
    /// them, one after another for each window.
    pub input: Key,
    /// Windows of the file that are heard.
    pub windows: usize,
    /// The hand-crafted features, where the recipe has them.
    pub handcrafted: Option<[f32; HANDCRAFTED]>,
    /// Sums over the log-mel spectrogram, for the normalisation.
    moments: Moments,
}

impl Prepared {
    pub(super) fn new(
        track: LabelledTrack,
        content: Hash,
        input: Key,
        windows: &[Features],
    ) -> Self {
        let moments = windows.iter().map(|window| Moments::of(&window.log_mel));
        let moments = moments.reduce(Moments::join).unwrap_or_default();
        let handcrafted = windows.first().and_then(|window| window.handcrafted);
        Self { track, content, input, windows: windows.len(), handcrafted, moments }
    }
}

/// Names the arrays of a clip's features in the cache.
struct Keys {
    content: Hash,
    input: Key,
    /// Numbers of a window.
    size: usize,
    /// Names what frozen layers have summarised over time, and its numbers of a window.
    summary: Option<(Key, usize)>,
    /// Where the recipe has hand-crafted features.
    handcrafted: Option<Key>,
}

impl Keys {
    /// Log-mel spectrograms are the same with hand-crafted features and without, and so is their
    /// key. The kind of an array is the first word of its recipe.
    fn new(
        content: Hash,
        recipe: &FeatureRecipe,
        frozen: Option<&[Made; 2]>,
        device: &str,
    ) -> Self {
        let six = || Key::of_handcrafted(content, &format!("handcrafted {recipe}"), device);
        let handcrafted = recipe.rolloff.map(|_| six());
        let Some(frozen) = frozen else {
            let input = Key::new(content, &recipe.log_mel().to_string(), device);
            return Self {
                content,
                input,
                size: recipe.log_mel_size(),
                summary: None,
                handcrafted,
            };
        };
        let [summary, input] = [0, 1].map(|step| {
            let Made { id, size } = &frozen[step];
            (Key::new(content, &format!("embedding {id} {recipe}"), device), *size)
        });
        Self { content, input: input.0, size: input.1, summary: Some(summary), handcrafted }
    }

    /// What the cache has of every window, if it has all.
    fn get(&self, cache: &FeatureCache) -> Option<(Vec<Features>, Remarks)> {
        let handcrafted = match self.handcrafted {
            None => None,
            Some(key) => Some(cache.get(key)?.values.try_into().ok()?),
        };
        let (windows, remarks) = self.windows(cache, (self.input, self.size))?;
        let window = |log_mel| Features { log_mel, handcrafted };
        Some((windows.into_iter().map(window).collect(), remarks))
    }

    /// What the cache has of frozen layers' summaries.
    fn get_summary(&self, cache: &FeatureCache) -> Option<(Vec<Vec<f32>>, Remarks)> {
        self.windows(cache, self.summary?)
    }

    fn windows(
        &self,
        cache: &FeatureCache,
        (key, size): (Key, usize),
    ) -> Option<(Vec<Vec<f32>>, Remarks)> {
        let entry = cache.get(key)?;
        let windows: Vec<Vec<f32>> = entry.values.chunks(size).map(<[f32]>::to_vec).collect();
        let whole = entry.values.len().is_multiple_of(size) && !windows.is_empty();
        whole.then_some((windows, entry.remarks))
    }

    fn put(&self, cache: &FeatureCache, windows: &[Features], remarks: Remarks) -> Result<()> {
        let values: Vec<f32> =
            windows.iter().flat_map(|window| window.log_mel.iter().copied()).collect();
        cache.put(self.input, &values, remarks)?;
        match (self.handcrafted, windows.first().and_then(|window| window.handcrafted)) {
            (Some(key), Some(values)) => cache.put(key, &values, remarks),
            _ => Ok(()),
        }
    }
}

/// A track that cannot be used, and why.
#[derive(Debug)]
pub struct Broken {
    /// The file as the manifest writes it.
    pub listed: String,
    /// Why it cannot be used.
    pub error: Error,
}

impl Broken {
    /// What the first of the tracks tells where none can be read.
    pub fn instead_of_all(&self, tracks: &str) -> Error {
        let advice = match Path::new(&self.listed).is_absolute() {
            true => {
                "the manifest's paths are absolute; where the audio has moved, change them there"
            }
            false => "if the paths are relative to another folder, name it with --audio-root",
        };
        Error::input(format!("none of the {tracks} can be read; the first: {}", self.error))
            .followed_by(advice)
    }
}

/// The tracks of one manifest after [`prepare`].
#[derive(Debug, Default)]
pub struct Corpus {
    /// In the order of the manifest.
    pub clips: Vec<Prepared>,
    /// Tracks that cannot be used.
    pub broken: Vec<Broken>,
    /// Clips shorter than the preset's, padded with zeros.
    pub padded: usize,
    /// Files that end before their header says.
    pub truncated: usize,
    /// Files with parts that cannot be decoded.
    pub damaged: usize,
}

impl Corpus {
    fn count(&mut self, remarks: Remarks) {
        self.padded += usize::from(remarks.padded);
        self.truncated += usize::from(remarks.truncated);
        self.damaged += usize::from(remarks.damaged);
    }

    /// Sentences for the user: what is wrong with files that are used all the same.
    pub fn notes(&self, clip_seconds: f64) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |count: usize, what: [&str; 2]| {
            if count > 0 {
                notes.push(format!("{count} {}", what[usize::from(count > 1)]));
            }
        };
        let padded = format!("than {clip_seconds} s and padded with silence");
        note(
            self.padded,
            [&format!("clip is shorter {padded}"), &format!("clips are shorter {padded}")],
        );
        let silent = self.clips.iter().filter(|clip| clip.moments.is_constant()).count();
        note(silent, ["clip is silent throughout", "clips are silent throughout"]);
        note(
            self.truncated,
            [
                "file ends before its header says; what is there is used",
                "files end before their header says; what is there is used",
            ],
        );
        note(
            self.damaged,
            [
                "file has parts that cannot be decoded and are silent",
                "files have parts that cannot be decoded and are silent",
            ],
        );
        notes
    }
}

/// Count, mean and sum of squared distances from the mean (Chan et al., 1979).
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(values: &[f32]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let squares = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
        Self { count, mean, squares }
    }

    /// Of silence, whose spectrogram is the same everywhere.
    fn is_constant(&self) -> bool {
        self.count > 0.0 && self.squares == 0.0
    }

    fn join(self, other: Self) -> Self {
        let count = self.count + other.count;
        if count == 0.0 {
            return self;
        }
        let distance = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + distance * other.count / count,
            squares: self.squares
                + other.squares
                + distance * distance * self.count * other.count / count,
        }
    }
}

/// Mean and population standard deviation over the log-mel spectrograms of the clips, accumulated in f64 in
/// their order.
///
/// # Errors
/// Features that are all equal, as those of digital silence are.
pub fn normalization(clips: &[Prepared]) -> Result<(f64, f64)> {
    let all = clips.iter().fold(Moments::default(), |all, clip| all.join(clip.moments));
    let deviation = (all.squares / all.count).sqrt();
    if deviation > 0.0 && deviation.is_finite() {
        Ok((all.mean, deviation))
    } else {
        Err(Error::input(
            "all training clips have the same features (are they silent?); there is nothing to \
             learn from",
        ))
    }
}

/// Mean and population standard deviation of each hand-crafted feature over the clips, in f64; none
/// where the clips have no such features.
///
/// A feature that is the same in every clip but for rounding says nothing: its deviation counts as
/// 1, so that it is standardised to about 0.
pub fn handcrafted_normalization(clips: &[Prepared]) -> Option<[[f64; HANDCRAFTED]; 2]> {
    const ROUNDING: f64 = 1e-6;
    let all: Option<Vec<_>> = clips.iter().map(|clip| clip.handcrafted).collect();
    let all = all.filter(|all| !all.is_empty())?;
    let [mut means, mut deviations] = [[0.0; HANDCRAFTED]; 2];
    for (feature, (mean, deviation)) in means.iter_mut().zip(&mut deviations).enumerate() {
        let column: Vec<f32> = all.iter().map(|clip| clip[feature]).collect();
        let moments = Moments::of(&column);
        *mean = moments.mean;
        *deviation = (moments.squares / moments.count).sqrt();
        if *deviation <= ROUNDING * mean.abs() {
            *deviation = 1.0;
        }
    }
    Some([means, deviations])
}

/// What decoding one track gave.
enum Decoded {
    Known(Keys, Vec<Features>, Remarks),
    Summarised(Keys, Vec<Vec<f32>>, Remarks),
    New(Keys, Vec<audio::Clip>),
    Broken(Error),
}

/// The windows of a file that a recipe hears: those that it asks for, or the one in the middle.
fn windows(path: &Path, recipe: &FeatureRecipe) -> Result<Vec<audio::Clip>> {
    let mut file = audio::AudioFile::open(path, recipe.audio.sample_rate)?;
    match recipe.audio.windows {
        None => Ok(vec![file.centre_clip(recipe.cut())?]),
        some => file.clips(recipe.cut(), some)?.map(|clip| Ok(clip?.1)).collect(),
    }
}

/// Computes what is missing in the cache. `progress` is told how many tracks are done. With `frozen`
/// layers, what they make of the spectrograms is kept in their place.
///
/// # Errors
/// The device or the cache fails; [`Kind::Stopped`](crate::error::Kind::Stopped) soon after `stop`
/// is set, with everything computed so far in the cache.
pub fn prepare(
    tracks: Vec<LabelledTrack>,
    device: &Device,
    recipe: &FeatureRecipe,
    mut frozen: Option<&mut Embedder>,
    cache: &FeatureCache,
    stop: &AtomicBool,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Corpus> {
    let device_name = device.identity();
    let made = frozen.as_deref().map(|frozen| [frozen.summary(), frozen.embedding()]);
    let made = made.as_ref();
    let decode = |track: &LabelledTrack| -> Result<Decoded> {
        let path = &track.track.path;
        let content = cache.content_hash(path).map_err(|error| name_alike(error, path))?;
        let keys = Keys::new(content, recipe, made, &device_name);
        if let Some((features, remarks)) = keys.get(cache) {
            return Ok(Decoded::Known(keys, features, remarks));
        }
        if let Some((summaries, remarks)) = keys.get_summary(cache) {
            return Ok(Decoded::Summarised(keys, summaries, remarks));
        }
        Ok(Decoded::New(keys, windows(path, recipe)?))
    };

    let mut corpus = Corpus::default();
    let mut extractor: Option<Extractor> = None;
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(1);
        scope.spawn(move || {
            let samples = recipe.clip_samples().max(1) * recipe.audio.windows.unwrap_or(1);
            let most = (GROUP_SAMPLES / samples).clamp(1, GROUP);
            for group in tracks.chunks(most) {
                let decoded: Vec<_> = group
                    .par_iter()
                    .map(|track| (track.clone(), decode(track).unwrap_or_else(Decoded::Broken)))
                    .collect();
                if sender.send(decoded).is_err() {
                    return;
                }
            }
        });
        for group in receiver {
            if stop.load(Ordering::Relaxed) {
                let done = corpus.clips.len();
                return Err(Error::stopped(format!(
                    "stopped; the features of {done} clips are in the cache and need not be \
                     computed again"
                )));
            }
            let samples: Vec<&[f32]> = group
                .iter()
                .filter_map(|(_, decoded)| match decoded {
                    Decoded::New(_, clips) => Some(clips),
                    _ => None,
                })
                .flatten()
                .map(|clip| &*clip.samples)
                .collect();
            let mut fresh = Vec::new();
            if !samples.is_empty() {
                let extractor = match &mut extractor {
                    Some(extractor) => extractor,
                    none => none.insert(Extractor::new(device, *recipe)?),
                };
                fresh = extractor.extract(&samples)?;
                if let Some(frozen) = &mut frozen {
                    let spectrograms: Vec<&[f32]> =
                        fresh.iter().map(|features| &*features.log_mel).collect();
                    let summaries = frozen.summarise(&spectrograms)?;
                    for (features, summary) in fresh.iter_mut().zip(summaries) {
                        features.log_mel = summary;
                    }
                }
            }
            let mut fresh = fresh.into_iter();
            for (track, decoded) in group {
                let (keys, features, remarks) = match decoded {
                    Decoded::Known(keys, features, remarks) => (keys, features, remarks),
                    Decoded::Summarised(keys, summaries, remarks) => {
                        let Some(frozen) = &mut frozen else { continue };
                        let window = |log_mel| Features { log_mel, handcrafted: None };
                        let features: Vec<Features> =
                            frozen.embed(summaries)?.into_iter().map(window).collect();
                        keys.put(cache, &features, remarks)?;
                        (keys, features, remarks)
                    }
                    Decoded::New(keys, clips) => {
                        let mut features: Vec<Features> =
                            fresh.by_ref().take(clips.len()).collect();
                        let any = |noticed: fn(&audio::Clip) -> bool| clips.iter().any(noticed);
                        let remarks = Remarks {
                            padded: any(|clip| clip.padded),
                            truncated: any(|clip| clip.truncated),
                            damaged: any(|clip| clip.damaged),
                        };
                        if let (Some(frozen), Some((key, _))) = (&mut frozen, keys.summary) {
                            let summaries: Vec<Vec<f32>> =
                                features.iter().map(|window| window.log_mel.clone()).collect();
                            cache.put(key, &summaries.concat(), remarks)?;
                            let embedded = frozen.embed(summaries)?;
                            for (features, embedded) in features.iter_mut().zip(embedded) {
                                features.log_mel = embedded;
                            }
                        }
                        keys.put(cache, &features, remarks)?;
                        (keys, features, remarks)
                    }
                    Decoded::Broken(error) => {
                        corpus.broken.push(Broken { listed: track.track.listed.clone(), error });
                        continue;
                    }
                };
                corpus.count(remarks);
                corpus.clips.push(Prepared::new(track, keys.content, keys.input, &features));
            }
            progress(corpus.clips.len() + corpus.broken.len());
        }
        Ok(corpus)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::preset::Preset;

    #[test]
    fn presets_with_hand_crafted_features_and_without_share_spectrograms() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FeatureCache::open(Some(folder.path().to_owned())).unwrap();
        let content = blake3::hash(b"song");
        let [plain, both] = ["paper", "paper-handcrafted"].map(|name| {
            let recipe = FeatureRecipe::of(&Preset::named(name).unwrap());
            Keys { size: 3, ..Keys::new(content, &recipe, None, "GPU") }
        });
        let six = vec![Features { log_mel: vec![-40.0; 3], handcrafted: Some([0.5; HANDCRAFTED]) }];
        let none = vec![Features { handcrafted: None, ..six[0].clone() }];

        let short = Remarks { padded: true, ..Remarks::default() };
        plain.put(&cache, &none, short).unwrap();
        assert_eq!(plain.get(&cache), Some((none.clone(), short)));
        assert_eq!(both.get(&cache), None);
        both.put(&cache, &six, short).unwrap();
        assert_eq!(both.get(&cache), Some((six, short)));
        assert_eq!(plain.get(&cache), Some((none, short)));
        assert_eq!(cache.size().unwrap().entries, 1);
    }
}
