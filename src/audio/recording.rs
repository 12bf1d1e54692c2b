//! An open audio file of any format, decoded in stretches.

use std::ops::Range;
use std::path::Path;

use super::compressed::CompressedFile;
use super::find::has_unread_ending;
use super::format::{Format, sniff};
use super::pcm::wav::Wav;
use super::pcm::{self, Header, PcmFile};
use crate::error::{Error, Result};

/// The largest sample that is taken for sound. Full scale is 1; a float file may exceed it, but the
/// power spectrum of samples much larger than this leaves the range of f32.
const LOUDEST: f32 = 1e9;

/// Its header has been read and checked, and it holds at least one sample.
pub enum Recording {
    Pcm(PcmFile),
    Compressed(Box<CompressedFile>),
}

impl Recording {
    /// # Errors
    /// The file cannot be read, is no audio, or its header is damaged or holds no samples.
    pub fn open(path: &Path) -> Result<Self> {
        let Some((format, start)) = sniff(path)? else {
            let why = format!(
                "{} does not begin like any audio format that is read; if it plays elsewhere, \
                 convert it with `ffmpeg -i INPUT OUTPUT.flac`",
                path.display()
            );
            return Err(match has_unread_ending(path) {
                true => Error::unread(why),
                false => Error::input(why),
            });
        };
        let layout = match format {
            Format::Wav => match header(path, format, |file| pcm::wav::read(file, start))? {
                Wav::Pcm(layout) => Some(layout),
                Wav::Adpcm { header, blocks, truncated } => {
                    let file = CompressedFile::open_adpcm(path, header, blocks)?;
                    return Ok(Self::Compressed(Box::new(file.marked(truncated))));
                }
                Wav::Mp3 { at, truncated } => {
                    let file = CompressedFile::open(path, Format::Mp3, at)?;
                    return Ok(Self::Compressed(Box::new(file.marked(truncated))));
                }
            },
            Format::Aiff => Some(header(path, format, |file| pcm::aiff::read(file, start))?),
            Format::Caf => header(path, format, |file| pcm::caf::read(file, start))?,
            _ => None,
        };
        Ok(match layout {
            Some(layout) => Self::Pcm(PcmFile::open(path, layout)?),
            None => Self::Compressed(Box::new(CompressedFile::open(path, format, start)?)),
        })
    }

    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Pcm(file) => file.sample_rate(),
            Self::Compressed(file) => file.sample_rate(),
        }
    }

    /// Samples per channel that are really there; at least 1.
    pub fn frames(&self) -> u64 {
        match self {
            Self::Pcm(file) => file.frames(),
            Self::Compressed(file) => file.frames(),
        }
    }

    /// The header promised more samples than the file holds.
    pub fn truncated(&self) -> bool {
        match self {
            Self::Pcm(file) => file.truncated(),
            Self::Compressed(file) => file.truncated(),
        }
    }

    /// Parts of what was read so far could not be decoded and are silent.
    pub fn damaged(&self) -> bool {
        match self {
            Self::Pcm(_) => false,
            Self::Compressed(file) => file.damaged(),
        }
    }

    /// Decodes `range` (in samples per channel, inside the file) and averages the channels.
    ///
    /// # Errors
    /// The file cannot be read or decoded there, or a sample is not finite or beyond [`LOUDEST`].
    pub fn read_mono(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let start = range.start;
        let mono = match self {
            Self::Pcm(file) => file.read_mono(range),
            Self::Compressed(file) => file.read_mono(range),
        }?;
        let usable = |sample: &f32| sample.abs() <= LOUDEST;
        if let Some(at) = mono.iter().position(|sample| !usable(sample)) {
            let seconds = (start + at as u64) as f64 / f64::from(self.sample_rate());
            let what = if mono[at].is_finite() {
                format!("{:e}, far beyond full scale (1)", mono[at])
            } else {
                "not a finite number".to_owned()
            };
            return Err(Error::input(format!(
                "{} holds a sample that is {what}, at {seconds:.3} s; write the file again from \
                 its source",
                self.path().display()
            )));
        }
        Ok(mono)
    }

    fn path(&self) -> &Path {
        match self {
            Self::Pcm(file) => file.path(),
            Self::Compressed(file) => file.path(),
        }
    }
}

/// Reads the header of a file, whose errors say what is wrong with it.
fn header<T>(
    path: &Path,
    format: Format,
    read: impl FnOnce(&mut Header) -> std::io::Result<T>,
) -> Result<T> {
    let io_error = |error: &std::io::Error| Error::io("read", path, error);
    let mut file = Header::open(path).map_err(|error| io_error(&error))?;
    read(&mut file).map_err(|error| match error.raw_os_error() {
        Some(_) => io_error(&error),
        None => pcm::broken(path, format, &error.to_string()),
    })
}
