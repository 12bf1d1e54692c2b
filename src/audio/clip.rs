//! Clips: stretches of one exact length, cut from a file at the preset's sample rate.

use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Serialize};

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

/// How clips are cut from a recording, in samples at the preset's rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// From the start of a clip to that of the next.
    pub step: usize,
    /// What a clip hears before its start.
    pub before: usize,
    /// Of a clip, with what it hears before its start.
    pub samples: usize,
    /// What a last clip may lack of its length.
    pub slack: usize,
}

impl Cut {
    /// Clips that hear nothing but themselves; half of the last may be missing.
    pub fn plain(clip_samples: usize) -> Self {
        let slack = clip_samples / 2;
        Self { step: clip_samples, before: 0, samples: clip_samples, slack }
    }

    /// Clips that `length` samples are cut into, one after another: a tail that lacks too much is
    /// dropped unless it is the only one.
    pub fn count(&self, length: u64) -> usize {
        ((length + self.slack as u64) / (self.step as u64).max(1)).max(1) as usize
    }

    /// Whether the clip of this place lacks samples at its end.
    fn is_short(&self, place: usize, length: u64) -> bool {
        // What hears beside itself lacks nothing as long as its last frame lies inside.
        let slack = if self.before > 0 { self.slack } else { 0 };
        ((place + 1) * self.step) as u64 > length + slack as u64
    }

    /// Which of those clips are heard: all, or no more than `windows`, evenly spread.
    pub fn heard(&self, length: u64, windows: Option<usize>) -> Vec<usize> {
        let count = self.count(length);
        match windows {
            Some(windows) if windows < count => {
                let middle = |window: usize| (2 * window + 1) * count / (2 * windows);
                (0..windows).map(middle).collect()
            }
            _ => (0..count).collect(),
        }
    }
}

impl From<usize> for Cut {
    /// [`Cut::plain`].
    fn from(clip_samples: usize) -> Self {
        Self::plain(clip_samples)
    }
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
    /// The clip has no length, or the file is broken where the clip lies.
    pub fn centre_clip(&mut self, cut: impl Into<Cut>) -> Result<Clip> {
        let cut = cut.into();
        check_length(cut.step)?;
        let start = self.length.saturating_sub(cut.step as u64) / 2;
        let samples = self.window(start as i64 - cut.before as i64, cut.samples)?;
        Ok(self.remarked(samples, cut.is_short(0, self.length)))
    }

    /// Clip after clip from the start of the file, or `windows` of them, decoded as the iterator is
    /// advanced, each with its place among all ([`Cut::heard`]). What a clip lacks is zeros.
    ///
    /// # Errors
    /// The clips have no length; an item is an error where the file is broken there.
    pub fn clips(
        &mut self,
        cut: Cut,
        windows: Option<usize>,
    ) -> Result<impl ExactSizeIterator<Item = Result<(usize, Clip)>> + '_> {
        check_length(cut.step)?;
        let heard = cut.heard(self.length, windows);
        Ok(heard.into_iter().map(move |place| {
            let start = (place * cut.step) as i64 - cut.before as i64;
            let samples = self.window(start, cut.samples)?;
            let padded = cut.is_short(place, self.length);
            Ok((place, self.remarked(samples, padded)))
        }))
    }

    /// Clip after clip from the start of the file, as [`Self::clips`] of [`Cut::plain`].
    ///
    /// # Errors
    /// As [`Self::clips`].
    pub fn successive_clips(
        &mut self,
        clip_samples: usize,
    ) -> Result<impl ExactSizeIterator<Item = Result<Clip>> + '_> {
        let clips = self.clips(Cut::plain(clip_samples), None)?;
        Ok(clips.map(|clip| clip.map(|(_, clip)| clip)))
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

    fn remarked(&self, samples: Vec<f32>, padded: bool) -> Clip {
        let (truncated, damaged) = (self.file.truncated(), self.file.damaged());
        Clip { samples, seconds_in_file: self.seconds(), padded, truncated, damaged }
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

/// The clip in the middle of the file at `path`, at `sample_rate` (Hz).
/// Training, validation and evaluation hear this one.
///
/// # Errors
/// As [`AudioFile::open`] and [`AudioFile::centre_clip`].
pub fn centre_clip(path: &Path, sample_rate: u32, cut: impl Into<Cut>) -> Result<Clip> {
    AudioFile::open(path, sample_rate)?.centre_clip(cut)
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
