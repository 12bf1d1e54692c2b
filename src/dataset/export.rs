//! Log-mel spectrograms as `.npy` files, for other programs.
//!
//! A file is written beside its place and then renamed, so that what stands under its name is
//! whole. `recipe.txt` in the folder says what the numbers are; a folder holds one recipe only.
//! `sources.jsonl` says what each array was made from: an array is kept as long as it is whole and
//! the audio's content is the same, and never replaced by that of another file.

mod index;
mod shared;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::cache::FeatureCache;
use super::features::{Extractor, FeatureRecipe};
use crate::audio::{self, Clip};
use crate::exec::Device;
use crate::files::{LONGEST_NAME, fitting_name, is_abandoned, successor};
use crate::ranks::Ranks;
use crate::{Error, Result};
use index::{Flaws, Index, Source, append, name, place};
pub use shared::assist;

/// Files that are decoded before the device gets them, as in [`super::prepare`].
const GROUP: usize = 16;

/// The recipe of a folder of features.
const RECIPE: &str = "recipe.txt";

/// A file to read and the array to write.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// The file to read.
    pub audio: PathBuf,
    /// The `.npy` to write.
    pub array: PathBuf,
}

/// What became of the jobs.
#[derive(Debug, Default)]
pub struct Exported {
    /// Arrays that were written.
    pub written: usize,
    /// What is wrong with the files of these.
    pub flawed: Flawed,
    /// Files that cannot be used, or whose array cannot be written, in order, and why.
    pub failed: Vec<(PathBuf, Error)>,
}

/// How many files have which flaw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flawed {
    /// Shorter than a clip.
    pub padded: usize,
    /// Ended before the header says.
    pub truncated: usize,
    /// With parts that cannot be decoded.
    pub damaged: usize,
}

impl Flawed {
    fn count(&mut self, flaws: Flaws) {
        self.padded += usize::from(flaws.padded);
        self.truncated += usize::from(flaws.truncated);
        self.damaged += usize::from(flaws.damaged);
    }

    /// Of two sets of files.
    pub fn and(self, other: Self) -> Self {
        Self {
            padded: self.padded + other.padded,
            truncated: self.truncated + other.truncated,
            damaged: self.damaged + other.damaged,
        }
    }
}

impl Exported {
    /// Writes a job's array, or keeps why there is none.
    fn add(
        &mut self,
        job: &Job,
        spectrogram: Result<Spectrogram>,
        shape: [usize; 2],
        recipe: &str,
    ) -> Result<()> {
        let error = match spectrogram {
            Ok(Spectrogram { about, decibels }) => {
                self.flawed.count(about.flaws);
                let bytes = npy(shape, &decibels);
                let source = Source {
                    array: name(&job.array),
                    audio: place(&job.audio),
                    content: about.content,
                    recipe: recipe.to_owned(),
                    hash: blake3::hash(&bytes).to_string(),
                    flaws: about.flaws,
                };
                keep(job, &source, &bytes)?
            }
            Err(error) => Some(error),
        };
        match error {
            Some(error) => self.failed.push((job.audio.clone(), error)),
            None => self.written += 1,
        }
        Ok(())
    }
}

/// A file's features on their way into its array.
struct Spectrogram {
    about: About,
    decibels: Vec<f32>,
}

/// What they were made from.
#[derive(Serialize, Deserialize)]
struct About {
    /// Hash of the file's content.
    content: String,
    flaws: Flaws,
}

/// Makes spectrograms of files.
struct Maker<'a> {
    extractor: Extractor,
    recipe: FeatureRecipe,
    cache: &'a FeatureCache,
}

impl<'a> Maker<'a> {
    fn new(device: &Device, recipe: &FeatureRecipe, cache: &'a FeatureCache) -> Result<Self> {
        let recipe = recipe.log_mel();
        Ok(Self { extractor: Extractor::new(device, recipe)?, recipe, cache })
    }

    /// Decodes on all cores while the device transforms what came before, and gives groups in the files'
    /// order to `take`, as long as it says so.
    fn make(
        &mut self,
        files: &[&Path],
        take: &mut dyn FnMut(Vec<Result<Spectrogram>>) -> bool,
    ) -> Result<()> {
        let Self { extractor, recipe, cache } = self;
        // The hash comes first: a file that changes meanwhile is seen to have changed by the next call.
        let decode = |path: &&Path| -> Result<(About, Vec<f32>)> {
            let content = cache.content_hash(path)?.to_string();
            let clip = audio::centre_clip(path, recipe.audio.sample_rate, recipe.cut())?;
            let Clip { samples, padded, truncated, damaged, .. } = clip;
            Ok((About { content, flaws: Flaws { padded, truncated, damaged } }, samples))
        };
        std::thread::scope(|scope| {
            let (sender, decoded) = sync_channel(1);
            scope.spawn(move || {
                for group in files.chunks(GROUP) {
                    let clips: Vec<_> = group.par_iter().map(decode).collect();
                    if sender.send(clips).is_err() {
                        return;
                    }
                }
            });
            for clips in decoded {
                let samples: Vec<&[f32]> =
                    clips.iter().flatten().map(|(_, samples)| samples.as_slice()).collect();
                let mut features = extractor.extract(&samples)?.into_iter();
                let spectrograms = clips.into_iter().map(|decoded| {
                    let (about, _) = decoded?;
                    let features = features.next().expect("every clip has its features");
                    Ok(Spectrogram { about, decibels: features.log_mel })
                });
                if !take(spectrograms.collect()) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Of an array.
    fn shape(&self) -> [usize; 2] {
        [self.recipe.features.mels, self.recipe.frames()]
    }
}

/// Names the array of every file in `files`: `folder/STEM.npy`. A name too long for a file is cut, and
/// has a hash of the stem; the folder's index says whose it is.
///
/// # Errors
/// Two files have the same stem.
pub fn jobs(files: Vec<PathBuf>, folder: &Path) -> Result<Vec<Job>> {
    let mut seen: HashMap<PathBuf, PathBuf> = HashMap::new();
    let mut jobs = Vec::with_capacity(files.len());
    for audio in files {
        let stem = audio.file_stem().unwrap_or(audio.as_os_str());
        let array = folder.join(fitting_name(stem, ".npy", LONGEST_NAME));
        if let Some(other) = seen.insert(array.clone(), audio.clone()) {
            return Err(Error::input(format!(
                "{} and {} would both become {}; write them into folders of their own",
                other.display(),
                audio.display(),
                array.display()
            )));
        }
        jobs.push(Job { audio, array });
    }
    Ok(jobs)
}

/// Makes the folder if need be and marks it with the recipe. Returns the jobs that are still to do, and
/// what is wrong with the files of the others: an array that is whole and was made from the same content is
/// kept. `cache` remembers the hashes of files.
///
/// # Errors
/// The folder holds arrays of another recipe, or of one that it does not say, or the array of
/// another file under a name that is wanted; it cannot be written.
pub fn open(
    folder: &Path,
    recipe: &FeatureRecipe,
    cache: &FeatureCache,
    jobs: Vec<Job>,
) -> Result<(Vec<Job>, Flawed)> {
    fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
    sweep(folder);
    let recipe = recipe.log_mel();
    let (mark, text) = (folder.join(RECIPE), format!("{recipe}\n"));
    match fs::read_to_string(&mark) {
        Ok(there) if there == text => {}
        Ok(there) => {
            return Err(Error::input(format!(
                "{} holds features of another recipe ({}); name another folder with --out",
                folder.display(),
                there.trim_end()
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if let Some(job) = jobs.iter().find(|job| job.array.exists()) {
                return Err(Error::input(format!(
                    "{} is there already, and no {RECIPE} beside it says what it holds; name \
                     another folder with --out",
                    job.array.display()
                )));
            }
            write(&mark, text.as_bytes())?;
        }
        Err(error) => return Err(Error::io("read", &mark, &error)),
    }
    let index = Index::open(folder)?;
    let recipe = hash_of(&recipe);
    let done = jobs
        .par_iter()
        .map(|job| match index.source(&name(&job.array)) {
            Some(source) if job.array.exists() => {
                Ok(is_done(job, source, &recipe, cache)?.then_some(source.flaws))
            }
            _ => Ok(None),
        })
        .collect::<Result<Vec<Option<Flaws>>>>()?;
    let mut kept = Flawed::default();
    done.iter().flatten().for_each(|&flaws| kept.count(flaws));
    let todo = jobs.into_iter().zip(done).filter(|(_, done)| done.is_none());
    Ok((todo.map(|(job, _)| job).collect(), kept))
}

fn hash_of(recipe: &FeatureRecipe) -> String {
    blake3::hash(recipe.to_string().as_bytes()).to_string()
}

/// Whether the array was made from the job's audio as it is now, and is whole.
fn is_done(job: &Job, source: &Source, recipe: &str, cache: &FeatureCache) -> Result<bool> {
    // What is wrong with the file is told when it is decoded.
    let content = cache.content_hash(&job.audio).ok().map(|hash| hash.to_string());
    if content.as_ref() != Some(&source.content) {
        return if source.audio == place(&job.audio) { Ok(false) } else { Err(clash(job, source)) };
    }
    let whole =
        fs::read(&job.array).is_ok_and(|bytes| blake3::hash(&bytes).to_string() == source.hash);
    Ok(whole && source.recipe == recipe)
}

fn clash(job: &Job, source: &Source) -> Error {
    Error::input(format!(
        "{} was made from {} and would be replaced by that of {}; name another folder with --out, \
         or remove the array",
        job.array.display(),
        source.audio,
        job.audio.display()
    ))
}

/// Does the jobs: files are decoded on all cores while the device transforms those before; of several
/// ranks, on rank 0, with the others' help ([`assist`]). A file that cannot be used does not stop the rest.
/// `progress` is told how many are done.
///
/// # Errors
/// The device fails, or the folder's index cannot be written.
pub fn export(
    jobs: &[Job],
    device: &Device,
    recipe: &FeatureRecipe,
    cache: &FeatureCache,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Exported> {
    let mut maker = Maker::new(device, recipe, cache)?;
    match Ranks::this().has_others() {
        true => shared::export(&mut maker, jobs, progress),
        false => on_this_rank(&mut maker, jobs, progress),
    }
}

fn on_this_rank(
    maker: &mut Maker<'_>,
    jobs: &[Job],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Exported> {
    let (shape, recipe) = (maker.shape(), hash_of(&maker.recipe));
    let files: Vec<&Path> = jobs.iter().map(|job| &*job.audio).collect();
    std::thread::scope(|scope| {
        // Arrays are written while the device computes the next group.
        let (to_writer, made) = sync_channel::<Vec<Result<Spectrogram>>>(1);
        let writer = scope.spawn(move || {
            let mut exported = Exported::default();
            let mut done = 0;
            for (group, spectrograms) in jobs.chunks(GROUP).zip(made) {
                for (job, spectrogram) in group.iter().zip(spectrograms) {
                    exported.add(job, spectrogram, shape, &recipe)?;
                }
                done += group.len();
                progress(done);
            }
            Ok(exported)
        });
        // A writer that has stopped with an error takes no more.
        let all_made = maker.make(&files, &mut |group| to_writer.send(group).is_ok());
        drop(to_writer);
        let exported = writer.join().expect("the writer does not panic");
        all_made.and(exported)
    })
}

/// Writes an array and what it was made from, or says why it cannot be written, or which other file's
/// array another run has put there meanwhile.
fn keep(job: &Job, source: &Source, bytes: &[u8]) -> Result<Option<Error>> {
    let folder = job.array.parent().unwrap_or(Path::new(""));
    if job.array.exists()
        && let Some(there) = Index::open(folder)?.source(&source.array)
        && there.audio != source.audio
        && there.content != source.content
    {
        return Ok(Some(clash(job, there)));
    }
    append(folder, source)?;
    Ok(write(&job.array, bytes).err())
}

/// Removes what killed processes were writing.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_abandoned(&entry.path()) {
            // What cannot be removed is passed over.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Writes `bytes` to `path`, at once for whoever looks.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = successor(path);
    fs::write(&partial, bytes).and_then(|()| fs::rename(&partial, path)).map_err(|error| {
        // Whatever stopped the write is the error to tell.
        let _ = fs::remove_file(&partial);
        Error::io("write", path, &error)
    })
}

/// The bytes of an array of vectors that are all as long, for NumPy.
pub fn npy_of(vectors: &[Vec<f32>]) -> Vec<u8> {
    npy([vectors.len(), vectors.first().map_or(0, Vec::len)], &vectors.concat())
}

/// NumPy's format 1.0: float32, row by row.
fn npy([rows, columns]: [usize; 2], values: &[f32]) -> Vec<u8> {
    let header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    // Magic, version and length take ten bytes, and the values begin at a multiple of 64.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = Vec::with_capacity(10 + length + 4 * values.len());
    bytes.extend_from_slice(b"\x93NUMPY\x01\x00");
    bytes.extend_from_slice(&(length as u16).to_le_bytes());
    bytes.extend_from_slice(format!("{header:<0$}\n", length - 1).as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
