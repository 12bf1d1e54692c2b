//! What a model makes of songs, and which of them are near.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;

use super::files::predict_files;
use super::tagger::Tagger;
use crate::dataset::cache::{FeatureCache, Key, Remarks};
use crate::dataset::features::FeatureRecipe;
use crate::model::checkpoint::Checkpoint;
use crate::{Error, Result};

/// Files with a vector each, and those that have none.
#[derive(Debug, Default)]
pub struct Embeddings {
    /// In the order in which they were given.
    pub files: Vec<PathBuf>,
    /// What the model's last layer reads of each, averaged over the clips that were heard.
    pub vectors: Vec<Vec<f32>>,
    /// Files that cannot be used.
    pub failed: Vec<Error>,
}

/// Listens to `files`. Those that the same model on the same `device` has listened to before are taken from
/// the cache, which keeps the others. `progress` is told how many are done.
///
/// # Errors
/// The device or the cache fails.
pub fn embed(
    tagger: &mut Tagger,
    checkpoint: &Checkpoint,
    device: &str,
    files: &[PathBuf],
    cache: &FeatureCache,
    stop: &AtomicBool,
    progress: &dyn Fn(usize),
) -> Result<Embeddings> {
    tagger.set_embedding(true);
    let windows = tagger.windows().map_or("all".to_owned(), |windows| windows.to_string());
    let recipe = FeatureRecipe::of(&tagger.description().preset);
    let model = checkpoint.hash();
    let what = format!("mean embedding {model} {recipe} heard={windows}");
    let known: Vec<Result<(Key, Option<Vec<f32>>)>> = files
        .par_iter()
        .map(|file| {
            let key = Key::new(cache.content_hash(file)?, &what, device);
            Ok((key, cache.get(key).map(|entry| entry.values)))
        })
        .collect();
    let mut vectors: Vec<Option<Result<Vec<f32>>>> = Vec::new();
    let (mut asked, mut keys) = (Vec::new(), Vec::new());
    for (place, known) in known.into_iter().enumerate() {
        vectors.push(match known {
            Ok((_, Some(vector))) => Some(Ok(vector)),
            Ok((key, None)) => {
                asked.push(place);
                keys.push(key);
                None
            }
            Err(error) => Some(Err(error)),
        });
    }
    let before = files.len() - asked.len();
    progress(before);
    let new: Vec<PathBuf> = asked.iter().map(|&place| files[place].clone()).collect();
    let mut done = before;
    predict_files(tagger, &new, stop, &mut |file, result| {
        let vector = result.map(|prediction| prediction.embedding);
        if let Ok(vector) = &vector {
            cache.put(keys[file], vector, Remarks::default())?;
        }
        vectors[asked[file]] = Some(vector);
        done += 1;
        progress(done);
        Ok(())
    })?;
    let mut all = Embeddings::default();
    for (file, vector) in files.iter().zip(vectors) {
        match vector {
            Some(Ok(vector)) => {
                all.files.push(file.clone());
                all.vectors.push(vector);
            }
            Some(Err(error)) => all.failed.push(error),
            // Stopped before it.
            None => {}
        }
    }
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
