//! Arrays that several ranks compute.
//!
//! Rank 0 hands files out in rounds, every rank makes the spectrograms of every n-th of a round's, and rank
//! 0 gets them: so only rank 0 writes, and the folder need be on its host only.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{About, Exported, GROUP, Job, Maker, Spectrogram, hash_of};
use crate::dataset::cache::FeatureCache;
use crate::dataset::features::FeatureRecipe;
use crate::exec::Device;
use crate::files::{path_from_text, path_text};
use crate::ranks::Ranks;
use crate::{Error, Result};

/// Files of a rank in a round: so many that its cores are decoding while its device computes, and so few
/// that rank 0 can hold those of all.
const ROUND: usize = 2 * GROUP;

/// What a rank has made of its files of a round; the numbers of those that it could use cross behind it.
#[derive(Serialize, Deserialize)]
struct Reply {
    files: Vec<Result<About>>,
    /// Its device has failed.
    failure: Option<Error>,
}

/// As [`export`](super::export), on rank 0 of several.
pub(super) fn export(
    maker: &mut Maker<'_>,
    jobs: &[Job],
    progress: &(dyn Fn(usize) + Sync),
) -> Result<Exported> {
    let ranks = Ranks::this();
    let (shape, recipe) = (maker.shape(), hash_of(&maker.recipe));
    let mut exported = Exported::default();
    let mut done = 0;
    for round in jobs.chunks(ROUND * ranks.count()) {
        let files: Vec<String> = round.iter().map(|job| path_text(&job.audio)).collect();
        for (job, spectrogram) in round.iter().zip(make(maker, &ranks.hand_out(Some(files))?)?) {
            exported.add(job, spectrogram, shape, &recipe)?;
        }
        done += round.len();
        progress(done);
    }
    ranks.hand_out(Some(Vec::<String>::new()))?;
    Ok(exported)
}

/// Computes for rank 0 until it has what it wants: on every other rank.
///
/// # Errors
/// What rank 0 says cannot be read.
pub fn assist(device: &Device, recipe: &FeatureRecipe, cache: &FeatureCache) -> Result<()> {
    let mut maker = Maker::new(device, recipe, cache)?;
    loop {
        let round: Vec<String> = Ranks::this().hand_out(None)?;
        if round.is_empty() {
            return Ok(());
        }
        make(&mut maker, &round)?;
    }
}

/// The spectrograms of a round's files, in their order.
fn make(maker: &mut Maker<'_>, round: &[String]) -> Result<Vec<Result<Spectrogram>>> {
    let ranks = Ranks::this();
    let files: Vec<PathBuf> = ranks
        .own(round.len())
        .into_iter()
        .map(|place| Path::to_owned(&path_from_text(&round[place])))
        .collect();
    let files: Vec<&Path> = files.iter().map(|path| &**path).collect();
    let mut reply = Reply { files: Vec::new(), failure: None };
    let mut numbers = Vec::new();
    let made = maker.make(&files, &mut |group| {
        for spectrogram in group {
            reply.files.push(spectrogram.map(|Spectrogram { about, decibels }| {
                numbers.extend_from_slice(bytemuck::cast_slice(&decibels));
                about
            }));
        }
        true
    });
    reply.failure = made.err();

    let length: usize = maker.shape().iter().product();
    let mut replies = Vec::new();
    for (rank, bytes) in ranks.gather(&packed(&reply, &numbers)?)?.iter().enumerate() {
        let (reply, numbers) = unpacked(bytes)?;
        if let Some(failure) = reply.failure {
            return Err(failure.context(format_args!("rank {rank}")));
        }
        let mut numbers = numbers.chunks_exact(size_of::<f32>() * length);
        let spectrograms = reply.files.into_iter().map(|about| {
            let about = about?;
            let own = numbers.next().ok_or_else(|| unreadable(&"numbers are missing"))?;
            Ok(Spectrogram { about, decibels: bytemuck::pod_collect_to_vec(own) })
        });
        replies.push(spectrograms.collect());
    }
    Ok(ranks.in_order(replies))
}

fn unreadable(why: &dyn std::fmt::Display) -> Error {
    Error::failure(format!("a rank's reply: {why}"))
}

/// The length of the reply, the reply, the numbers.
fn packed(reply: &Reply, numbers: &[u8]) -> Result<Vec<u8>> {
    let reply = serde_json::to_vec(reply).map_err(|error| unreadable(&error))?;
    Ok([&(reply.len() as u64).to_le_bytes(), &*reply, numbers].concat())
}

fn unpacked(bytes: &[u8]) -> Result<(Reply, &[u8])> {
    let parts = || {
        let (length, rest) = bytes.split_first_chunk()?;
        rest.split_at_checked(u64::from_le_bytes(*length) as usize)
    };
    let (reply, numbers) = parts().ok_or_else(|| unreadable(&"it is cut"))?;
    Ok((serde_json::from_slice(reply).map_err(|error| unreadable(&error))?, numbers))
}
