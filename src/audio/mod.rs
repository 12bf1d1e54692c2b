//! Audio in: a file becomes mono samples at the preset's rate, cut into clips of one exact length.
//!
//! `format` finds out what a file is, `pcm` and `compressed` decode any stretch of it without the
//! rest, `resample` brings it to the preset's rate, and `clip` decides which stretches a track's
//! clips are. An hour-long file therefore costs the memory of one clip, and its clip is the one
//! that would be cut from the whole file after resampling it: bit for bit, but for AAC, whose
//! noise-like bands are drawn anew by every decoder, and for Opus' codec of speech, which goes on from
//! what it has heard as long as a pitch lasts.
//!
//! What an encoder adds before and after the music is left away where the file says how much it is:
//! LAME's tag in MP3, the granule positions of Ogg and what Opus skips, the edit list of MP4.
//!
//! | file | result |
//! |---|---|
//! | silence, one sample, shorter than a clip | a clip, padded with zeros |
//! | data shorter than the header says (a broken download) | what is there, marked [`Clip::truncated`] |
//! | packets that cannot be decoded | silence in their place, marked [`Clip::damaged`]; an error if the clip has no others |
//! | positions or counts that the file cannot hold | its packets are counted, and what they decode to is heard |
//! | Ogg streams in a row, MP3 from one channel to two | one after the other |
//! | another sample rate within a file, HE-AAC | an error: a part or half of the band would be heard |
//! | recorded to a pipe or never closed (length unknown) | what is there |
//! | no samples, zero channels, a NaN or an infinity | an error that names the file |
//! | a sample rate outside 1 kHz to 768 kHz | an error: the header is wrong |

mod clip;
mod compressed;
mod credits;
mod find;
mod format;
mod mpeg;
mod packets;
mod pcm;
mod recording;
mod resample;
mod silence;
mod walk;

use std::path::Path;

pub use clip::{AudioFile, Clip, Cut, Inspection, centre_clip, inspect, successive_clips};
pub(crate) use compressed::page_checksum;
pub use credits::{Credits, credits, names_somebody};
pub use find::{Found, Unlisted, find_audio, has_audio_ending, passed_over, unread};
pub(crate) use format::sniff;
pub use format::{Format, format_of};
pub use packets::sound_hash;
pub use silence::{INAUDIBLE, is_silent};
pub use walk::walk_each;

use crate::error::Result;
use recording::Recording;
use resample::Resampler;

/// The length of the file at `path` in seconds.
///
/// # Errors
/// The file cannot be opened, is not a format that is read, or is broken.
pub fn seconds(path: &Path) -> Result<f64> {
    let file = Recording::open(path)?;
    Ok(file.frames() as f64 / f64::from(file.sample_rate()))
}

/// A whole recording, mono: the average of its channels.
#[derive(Clone, Debug, PartialEq)]
pub struct Waveform {
    /// Samples per second.
    pub sample_rate: u32,
    /// Full scale is -1 to 1; floating-point files may exceed it.
    pub samples: Vec<f32>,
}

impl Waveform {
    /// Reads the whole of `path` at its own sample rate.
    ///
    /// # Errors
    /// The file cannot be opened, is not a format that is read, or is broken (see the table above).
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = Recording::open(path)?;
        let samples = file.read_mono(0..file.frames())?;
        Ok(Self { sample_rate: file.sample_rate(), samples })
    }

    /// The same sound at `sample_rate`, band-limited and without delay: ceil(n · to / from)
    /// samples.
    ///
    /// # Errors
    /// Either rate lies outside 1 kHz to 768 kHz.
    pub fn resampled(self, sample_rate: u32) -> Result<Self> {
        if sample_rate == self.sample_rate {
            return Ok(self);
        }
        let mut resampler = Resampler::new(self.sample_rate, sample_rate)?;
        let length = resampler.output_length(self.samples.len() as u64);
        let samples = resampler.resample(&self.samples, 0, 0..length)?;
        Ok(Self { sample_rate, samples })
    }
}
