//! Clips: stretches of one exact length, cut from a file at the preset's sample rate.

use std::ops::Range;
use std::path::Path;

use super::recording::Recording;
use super::resample::Resampler;
use super::silence::is_silent;
use crate::error::{Error, Result};

/// One clip of a track, mono.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Exactly as many samples as were asked for.
    pub samples: Vec<f32>,
    /// Length of the whole file, in seconds.
    pub seconds_in_file: f64,
    /// The file ended inside the clip; the rest is zeros.
    pub padded: bool,
    /// The file is shorter than its header says, as after a broken download.
    pub truncated: bool,
    /// Parts of the file could not be decoded and are silent.
    pub damaged: bool,
}

/// A file on disk, seen at the preset's sample rate. Only the clips that are asked for are decoded.
pub struct AudioFile {
    file: Recording,
    resampler: Option<Resampler>,
    /// Samples of the whole file at the preset's rate.
    length: u64,
}

impl AudioFile {
    /// Opens `path`, to be heard at `sample_rate` (Hz).
    ///
    /// # Errors
    /// The file cannot be opened, is not a format that is read, or is broken.
    pub fn open(path: &Path, sample_rate: u32) -> Result<Self> {
        let file = Recording::open(path)?;
        let mut length = file.frames();
        let mut resampler = None;
        if file.sample_rate() != sample_rate {
            let made = Resampler::new(file.sample_rate(), sample_rate)
                .map_err(|error| error.context(path.display()))?;
            length = made.output_length(length);
            resampler = Some(made);
        }
        Ok(Self { file, resampler, length })
    }

    /// Length of the file in seconds.
    pub fn seconds(&self) -> f64 {
        self.file.frames() as f64 / f64::from(self.file.sample_rate())
    }

    /// The clip in the middle of the file, or the whole file padded with zeros at its end.
    ///
    /// # Errors
    /// `clip_samples` is zero, or the file is broken where the clip lies.
    pub fn centre_clip(&mut self, clip_samples: usize) -> Result<Clip> {
        check_length(clip_samples)?;
        self.clip(self.length.saturating_sub(clip_samples as u64) / 2, clip_samples)
    }

    /// Clip after clip from the start of the file, decoded as the iterator is advanced. A tail
    /// shorter than half a clip is dropped unless it is the only one; a longer one is padded with
    /// zeros.
    ///
    /// # Errors
    /// `clip_samples` is zero; an item is an error where the file is broken there.
    pub fn successive_clips(
        &mut self,
        clip_samples: usize,
    ) -> Result<impl ExactSizeIterator<Item = Result<Clip>> + '_> {
        check_length(clip_samples)?;
        let count = successive_count(self.length, clip_samples);
        let step = clip_samples as u64;
        Ok((0..count).map(move |index| self.clip(index as u64 * step, clip_samples)))
    }

    /// `clip_samples` samples from `start` on; beyond either end of the file is silence.
    ///
    /// # Errors
    /// The file is broken there.
    pub fn window(&mut self, start: i64, clip_samples: usize) -> Result<Vec<f32>> {
        let end = (start + clip_samples as i64).max(0) as u64;
        let inside = (start.max(0) as u64).min(self.length)..end.min(self.length);
        let before = (start.min(0).unsigned_abs() as usize).min(clip_samples);
        let mut samples = vec![0.0; before];
        if !inside.is_empty() {
            samples.extend(self.excerpt(inside)?);
        }
        samples.resize(clip_samples, 0.0);
        Ok(samples)
    }

    fn clip(&mut self, start: u64, clip_samples: usize) -> Result<Clip> {
        let end = self.length.min(start + clip_samples as u64);
        let mut samples = self.excerpt(start..end)?;
        let padded = samples.len() < clip_samples;
        samples.resize(clip_samples, 0.0);
        let (truncated, damaged) = (self.file.truncated(), self.file.damaged());
        Ok(Clip { samples, seconds_in_file: self.seconds(), padded, truncated, damaged })
    }

    /// The samples of `range` at the preset's rate, the same bits as if the whole file had been
    /// resampled.
    fn excerpt(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let Some(resampler) = &mut self.resampler else { return self.file.read_mono(range) };
        let mut input = resampler.input_for(&range);
        input.end = input.end.min(self.file.frames());
        let start = input.start;
        resampler.resample(&self.file.read_mono(input)?, start, range)
    }
}

/// Clips of `clip_samples` that `length` samples are cut into, one after another: a tail shorter
/// than half a clip is dropped unless it is the only one.
pub fn successive_count(length: u64, clip_samples: usize) -> usize {
    let step = (clip_samples as u64).max(1);
    let (whole, tail) = (length / step, length % step);
    (whole + u64::from(tail * 2 >= step)).max(1) as usize
}

/// The clip in the middle of the file at `path`: `clip_samples` samples at `sample_rate` (Hz).
/// Training, validation and evaluation hear this one.
///
/// # Errors
/// As [`AudioFile::open`] and [`AudioFile::centre_clip`].
pub fn centre_clip(path: &Path, sample_rate: u32, clip_samples: usize) -> Result<Clip> {
    AudioFile::open(path, sample_rate)?.centre_clip(clip_samples)
}

/// All clips of the file at `path`, one after another; prediction averages over them. For files of
/// hours, [`AudioFile::successive_clips`] gives them one at a time.
///
/// # Errors
/// As [`AudioFile::open`] and [`AudioFile::successive_clips`].
pub fn successive_clips(path: &Path, sample_rate: u32, clip_samples: usize) -> Result<Vec<Clip>> {
    AudioFile::open(path, sample_rate)?.successive_clips(clip_samples)?.collect()
}

/// What a file is like, from its header and its centre clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inspection {
    /// Length of the whole file.
    pub seconds: f64,
    /// As [`Clip::truncated`].
    pub truncated: bool,
    /// As [`Clip::damaged`].
    pub damaged: bool,
    /// The clip is silence, as [`is_silent`] has it.
    pub silent: bool,
}

/// Decodes the centre clip of the file at `path` to see whether it can be used.
///
/// # Errors
/// As [`centre_clip`].
pub fn inspect(path: &Path, clip_seconds: f64) -> Result<Inspection> {
    let mut file = Recording::open(path)?;
    // Its rate may be one that cannot be resampled.
    Resampler::check(file.sample_rate()).map_err(|error| error.context(path.display()))?;
    let rate = f64::from(file.sample_rate());
    let wanted = ((clip_seconds * rate) as u64).min(file.frames());
    let start = (file.frames() - wanted) / 2;
    let silent = is_silent(&file.read_mono(start..start + wanted)?);
    Ok(Inspection {
        seconds: file.frames() as f64 / rate,
        truncated: file.truncated(),
        damaged: file.damaged(),
        silent,
    })
}

fn check_length(clip_samples: usize) -> Result<()> {
    if clip_samples == 0 {
        return Err(Error::input("a clip needs at least one sample; make clip_seconds larger"));
    }
    Ok(())
}
