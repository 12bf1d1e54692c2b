//! What a model makes of songs, and which of them are near.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use super::library::{Library, Options, Outcome, unfinished};
use super::prediction::Flawed;
use super::tagger::Tagger;
use crate::report::audio_files;
use crate::{Error, Result};

/// Files with a vector each, and those that have none.
#[derive(Debug, Default)]
pub struct Embeddings {
    /// In the order in which they were given.
    pub files: Vec<PathBuf>,
    /// What the model's last layer reads of each, averaged over the clips that were heard.
    pub vectors: Vec<Vec<f32>>,
    /// Whether each is more than silence and no shorter than a clip, so that its vector tells something.
    pub telling: Vec<bool>,
    /// Files that cannot be used, and why.
    pub failed: Vec<(PathBuf, Error)>,
    flawed: Flawed,
}

impl Embeddings {
    /// Refuses to go on with a part of `asked` files where `stop` was set before all were done.
    ///
    /// # Errors
    /// It was.
    pub fn complete(&self, asked: usize, stop: &AtomicBool) -> Result<()> {
        if !stop.load(Ordering::Relaxed) || self.files.len() + self.failed.len() == asked {
            return Ok(());
        }
        Err(Error::stopped(format!(
            "stopped: {} of {} are in the cache and need not be heard again",
            self.files.len(),
            audio_files(asked)
        )))
    }

    /// Sentences about files that were heard, and what they say little of.
    pub fn notes(&self) -> Vec<String> {
        self.flawed.notes("their vectors say less", "no vector tells from other silence")
    }
}

/// Listens to those of `files` that `library` does not know yet. `progress` is told how many are done.
///
/// # Errors
/// The device fails.
pub fn embed(
    tagger: &mut Tagger,
    library: &mut Library,
    files: &[PathBuf],
    options: Options,
    stop: &AtomicBool,
    progress: &dyn Fn(usize),
) -> Result<Embeddings> {
    let mut all = Embeddings::default();
    let mut done = 0;
    library.scan(tagger, files, options, stop, &mut |_, file, outcome| {
        match outcome {
            Outcome::Heard(prediction) => {
                all.flawed.count(&prediction);
                all.telling.push(!prediction.silent && !prediction.padded);
                all.files.push(files[file].clone());
                all.vectors.push(prediction.embedding);
            }
            Outcome::Failed(error) => all.failed.push((files[file].clone(), error)),
            Outcome::Unfinished => {
                all.failed.push((files[file].clone(), unfinished(&files[file])));
            }
        }
        done += 1;
        progress(done);
        Ok(())
    })?;
    Ok(all)
}

/// The others by their likeness to the vector at `place`, the cosine of the angle between them, the
/// nearest first.
pub fn nearest(vectors: &[Vec<f32>], place: usize) -> Vec<(usize, f32)> {
    let length = |vector: &[f32]| dot(vector, vector).sqrt().max(f64::MIN_POSITIVE);
    let (song, own) = (&vectors[place], length(&vectors[place]));
    let likeness = |other: &[f32]| (dot(song, other) / own / length(other)) as f32;
    let mut near: Vec<(usize, f32)> = vectors
        .iter()
        .enumerate()
        .filter(|(other, _)| *other != place)
        .map(|(other, vector)| (other, likeness(vector)))
        .collect();
    near.sort_by(|one, other| other.1.total_cmp(&one.1));
    near
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn direction_counts_and_length_does_not() {
        let vectors =
            [vec![1.0, 0.0], vec![0.0, 3.0], vec![2.0, 2.0], vec![-1.0, 0.0], vec![9.0, 0.1]];
        let near = nearest(&vectors, 0);
        let order: Vec<usize> = near.iter().map(|&(place, _)| place).collect();
        assert_eq!(order, [4, 2, 1, 3]);
        assert!((near[1].1 - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(near[3].1, -1.0);
    }
}
