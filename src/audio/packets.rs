//! Whether two files hold the same sound, told without decoding it.

use std::path::Path;

use super::recording::Recording;
use crate::error::Result;

/// Frames of PCM that are read at a time.
const STRETCH: u64 = 1 << 20;

/// A hash of the coded sound of the file at `path`: of the packets of its audio track in order, or
/// of the samples of a WAV file. Tags, pictures and padding are not part of it, so that a program
/// that changes a tag can make sure that it changed nothing else.
///
/// # Errors
/// The file cannot be read, or is no audio that is read.
pub fn sound_hash(path: &Path) -> Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    match Recording::open(path)? {
        Recording::Compressed(mut file) => {
            file.for_each_packet(|data| {
                hasher.update(&(data.len() as u64).to_le_bytes()).update(data);
            })?;
        }
        mut pcm => {
            for start in (0..pcm.frames()).step_by(STRETCH as usize) {
                let samples = pcm.read_mono(start..pcm.frames().min(start + STRETCH))?;
                hasher.update(bytemuck::cast_slice(&samples));
            }
        }
    }
    Ok(hasher.finalize())
}
