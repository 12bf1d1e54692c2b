//! A corpus that a small synthesiser composes from a seed, for a first run without data and for
//! tests.
//!
//! A song has one to three moods. They steer its `character`: tempo, mode, register, timbre,
//! brightness, attack, dynamics, reverberation, percussion. From it the `composer` writes a
//! score, the `instruments` play it and the `mix` makes a clip of it. The distributions of the
//! moods overlap, so that a good model reaches a validation macro ROC-AUC of about 0.92 and none
//! comes near 1.
//!
//! Everything about a song follows from the seed and the song's index: a corpus begins with the
//! same songs however many follow, and the number of threads changes nothing. What must not tell a
//! mood is drawn without regard to it: level, key, noise floor, artist.

mod character;
mod composer;
mod instruments;
mod mix;
mod stored;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::error::{Error, Result};
use character::Character;
use instruments::Orchestra;

pub use character::MOODS;
pub use stored::{Stored, clear, stored};

/// Part of the cache key: goes up with every change to what a corpus contains.
pub const GENERATOR_VERSION: u32 = 1;

/// Sample rate of the corpus, in Hz.
pub const SAMPLE_RATE: u32 = 22_050;

/// The manifest's name in the corpus folder.
pub const MANIFEST: &str = "manifest.tsv";

/// Songs of one made-up artist. They are ten songs apart: neighbours lead with different moods, so
/// an artist of neighbours would tell something about them, and a handful of songs could not be
/// split by artist.
const SONGS_PER_ARTIST: usize = 4;

/// Songs of one artist on one album.
const SONGS_PER_ALBUM: usize = 2;

/// Probabilities of one, two and three moods.
const MOOD_COUNTS: [(usize, f64); 3] = [(1, 0.45), (2, 0.4), (3, 0.15)];

/// What a corpus contains.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusSpec {
    /// Songs in the corpus.
    pub clips: usize,
    /// Length of a song in seconds.
    pub clip_seconds: f64,
    /// Another seed gives other songs.
    pub seed: u64,
    /// Deals the label sets out anew among the songs, so that there is nothing to learn.
    pub shuffle_labels: bool,
}

impl CorpusSpec {
    fn check(&self) -> Result<()> {
        if self.clips == 0 {
            return Err(Error::input("a synthetic corpus needs at least one clip"));
        }
        // A day still fits the 32-bit length fields of a WAV file.
        if !(1.0..=86_400.0).contains(&self.clip_seconds) {
            return Err(Error::input(format!(
                "clips of {} s cannot be synthesised: choose a length from 1 to 86400 s",
                self.clip_seconds
            )));
        }
        Ok(())
    }

    fn samples(&self) -> usize {
        (self.clip_seconds * f64::from(SAMPLE_RATE)).round() as usize
    }

    /// The folder's name in the cache.
    fn key(&self) -> String {
        let Self { clips, clip_seconds, seed, shuffle_labels } = self;
        let shuffled = if *shuffle_labels { "-shuffled" } else { "" };
        format!(
            "{}v{GENERATOR_VERSION}-{clip_seconds}s-{clips}-seed{seed}{shuffled}",
            stored::CORPUS
        )
    }

    /// Whether `folder` holds the manifest and every clip at its full length.
    fn is_complete_in(&self, folder: &Path) -> bool {
        let bytes = wav_bytes(self.samples());
        let has = |path: PathBuf| fs::metadata(path).is_ok_and(|file| file.len() == bytes);
        folder.join(MANIFEST).is_file() && (0..self.clips).all(|i| has(folder.join(clip_path(i))))
    }
}

/// Size of a mono 16-bit WAV file: header and samples.
fn wav_bytes(samples: usize) -> u64 {
    44 + 2 * samples as u64
}

/// As in MTG-Jamendo, the folder is the track number modulo 100.
fn clip_path(index: usize) -> String {
    let track = index + 1;
    format!("{:02}/{track}.wav", track % 100)
}

/// What a stream of random numbers is for: one key, one stream an index, none is used twice.
#[derive(Clone, Copy)]
enum Stream {
    Song = 0,
    MoodOrder = 1,
    Moods = 2,
    Shuffle = 3,
}

fn stream(seed: u64, purpose: Stream, index: usize) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream((purpose as u64) << 60 | index as u64);
    rng
}

/// The moods of a song. Every ten songs lead with the ten moods in a new order, so that a small
/// corpus has each about as often; the other moods of a song are companions of the leading one.
fn draw_moods(seed: u64, index: usize) -> Vec<usize> {
    let block = index / MOODS.len();
    let mut order: [usize; MOODS.len()] = std::array::from_fn(|mood| mood);
    order.shuffle(&mut stream(seed, Stream::MoodOrder, block));
    let leading = order[index % MOODS.len()];
    let rng = &mut stream(seed, Stream::Moods, index);
    let (count, _) = *MOOD_COUNTS.choose_weighted(rng, |(_, p)| *p).expect("weights are positive");
    let companions = character::companions(leading);
    let mut moods = vec![leading];
    moods.extend(companions.sample(rng, count - 1));
    moods.sort_unstable();
    moods
}

fn synthesise(moods: &[usize], seconds: f64, samples: usize, rng: &mut impl Rng) -> Vec<i16> {
    let song = Character::draw(moods, rng);
    let score = composer::compose(&song, seconds, rng);
    let mut orchestra = Orchestra::new(&song);
    let mut notes = vec![0.0; samples];
    for note in &score.notes {
        orchestra.play(note, &mut notes);
    }
    let mut drums = vec![0.0; samples];
    for hit in &score.hits {
        orchestra.strike(hit, rng.random(), &mut drums);
    }
    mix::master(&song, score.bar, notes, &drums, rng)
}

fn write_wav(path: &Path, samples: &[i16]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: SAMPLE_RATE,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let write = || -> hound::Result<()> {
        let mut file = hound::WavWriter::create(path, spec)?;
        let mut writer = file.get_i16_writer(samples.len() as u32);
        for &sample in samples {
            writer.write_sample(sample);
        }
        writer.flush()?;
        file.finalize()
    };
    write().map_err(|error| match error {
        hound::Error::IoError(error) => Error::io("write", path, &error),
        other => Error::failure(format!("cannot write {}: {other}", path.display())),
    })
}

fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| Error::io("create", path, &error))
}

/// Numbers, from 1, of the artist and the album of a song.
fn artist_and_album(index: usize) -> (usize, usize) {
    let stride = MOODS.len();
    let group = index / (stride * SONGS_PER_ARTIST);
    let artist = group * stride + index % stride;
    let song = index / stride % SONGS_PER_ARTIST;
    let albums = SONGS_PER_ARTIST / SONGS_PER_ALBUM;
    (artist + 1, artist * albums + song / SONGS_PER_ALBUM + 1)
}

/// The corpus as MTG-Jamendo writes its tag files.
fn manifest(spec: &CorpusSpec) -> String {
    let mut labels: Vec<Vec<usize>> = (0..spec.clips).map(|i| draw_moods(spec.seed, i)).collect();
    if spec.shuffle_labels {
        labels.shuffle(&mut stream(spec.seed, Stream::Shuffle, 0));
    }
    let mut text = String::from("TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n");
    for (index, moods) in labels.iter().enumerate() {
        let (track, path, seconds) = (index + 1, clip_path(index), spec.clip_seconds);
        let (artist, album) = artist_and_album(index);
        let _ = write!(
            text,
            "track_{track:07}\tartist_{artist:06}\talbum_{album:06}\t{path}\t{seconds:.1}"
        );
        for &mood in moods {
            let _ = write!(text, "\tmood/theme---{}", MOODS[mood]);
        }
        text.push('\n');
    }
    text
}

/// Writes the corpus into `out` and returns the path of its manifest, which is written last. Calls
/// `progress` from any thread with the number of clips done; an error of it ends the work.
pub fn generate(
    spec: &CorpusSpec,
    out: &Path,
    progress: &(dyn Fn(usize) -> Result<()> + Sync),
) -> Result<PathBuf> {
    spec.check()?;
    create_folder(out)?;
    let folders: BTreeSet<PathBuf> = (0..spec.clips.min(100))
        .filter_map(|index| out.join(clip_path(index)).parent().map(Path::to_owned))
        .collect();
    folders.iter().try_for_each(|folder| create_folder(folder))?;

    let done = AtomicUsize::new(0);
    (0..spec.clips).into_par_iter().try_for_each(|index| {
        let moods = draw_moods(spec.seed, index);
        let rng = &mut stream(spec.seed, Stream::Song, index);
        let samples = synthesise(&moods, spec.clip_seconds, spec.samples(), rng);
        write_wav(&out.join(clip_path(index)), &samples)?;
        progress(done.fetch_add(1, Ordering::Relaxed) + 1)
    })?;

    let path = out.join(MANIFEST);
    fs::write(&path, manifest(spec)).map_err(|error| Error::io("write", &path, &error))?;
    Ok(path)
}

/// The manifest of this corpus in the cache folder `root`, generated there on first use.
///
/// It is built in a temporary folder and renamed when complete: an interrupted build is never taken
/// for a corpus, and of two concurrent builds one wins and both use it.
pub fn cached(
    spec: &CorpusSpec,
    root: &Path,
    progress: &(dyn Fn(usize) -> Result<()> + Sync),
) -> Result<PathBuf> {
    static BUILDS: AtomicUsize = AtomicUsize::new(0);

    spec.check()?;
    let key = spec.key();
    let folder = root.join(&key);
    if spec.is_complete_in(&folder) {
        return Ok(folder.join(MANIFEST));
    }
    create_folder(root)?;
    stored::remove_abandoned(root);
    let build = BUILDS.fetch_add(1, Ordering::Relaxed);
    let temporary = |role| root.join(format!(".{role}-{key}-{}-{build}", std::process::id()));
    let fresh = temporary("building");
    let outcome = generate(spec, &fresh, progress).and_then(|_| {
        // What stands there lacks files; a concurrent build may already have replaced it.
        let damaged = temporary("damaged");
        if !spec.is_complete_in(&folder) && fs::rename(&folder, &damaged).is_ok() {
            let _ = fs::remove_dir_all(damaged);
        }
        match fs::rename(&fresh, &folder) {
            Err(error) if !spec.is_complete_in(&folder) => Err(Error::io("write", &folder, &error)),
            _ => Ok(folder.join(MANIFEST)),
        }
    });
    let _ = fs::remove_dir_all(fresh);
    outcome
}
