//! Samples that stand one after the other, decoded in stretches: WAV, AIFF and CAF of PCM.
//!
//! The headers are read here, because people's files keep to their standards less strictly than
//! the libraries do, and a length that a header claims is believed only as far as the file goes.

pub mod aiff;
pub mod caf;
mod encoding;
pub mod wav;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::format::Format;
use crate::error::{Error, Result};
pub use encoding::{Encoding, Kind};

/// Bytes decoded at a time: large enough to be fast, small beside a clip.
const PIECE_BYTES: u64 = 1 << 20;

/// Where the samples of a file lie, and what they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub sample_rate: u32,
    pub channels: u16,
    pub encoding: Encoding,
    /// Bytes of the file; a last frame that is not whole is not one.
    pub data: Range<u64>,
    /// The header promised more.
    pub truncated: bool,
}

impl Layout {
    /// Bytes of one sample of every channel.
    fn frame_bytes(&self) -> u64 {
        self.encoding.kind.bytes() * u64::from(self.channels)
    }
}

/// An open file of PCM: its header has been read and checked, its samples have not.
pub struct PcmFile {
    path: PathBuf,
    file: File,
    layout: Layout,
    frames: u64,
}

impl PcmFile {
    /// # Errors
    /// The file cannot be read, or holds no samples.
    pub fn open(path: &Path, layout: Layout) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io("read", path, &error))?;
        let frames = (layout.data.end - layout.data.start) / layout.frame_bytes();
        if frames == 0 {
            return Err(Error::input(format!("{} holds no audio samples", path.display())));
        }
        Ok(Self { path: path.to_owned(), file, layout, frames })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn sample_rate(&self) -> u32 {
        self.layout.sample_rate
    }

    /// Samples per channel that are really there; at least 1.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The header promised more samples than the file holds.
    pub fn truncated(&self) -> bool {
        self.layout.truncated
    }

    /// Decodes `range` (in samples per channel, inside the file) and averages the channels.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_mono(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let frame_bytes = self.layout.frame_bytes();
        let mut mono = Vec::with_capacity((range.end - range.start) as usize);
        let piece_frames = (PIECE_BYTES / frame_bytes).max(1);
        let mut bytes = Vec::new();
        let mut start = range.start;
        self.file
            .seek(SeekFrom::Start(self.layout.data.start + start * frame_bytes))
            .map_err(|error| Error::io("read", &self.path, &error))?;
        while start < range.end {
            let frames = piece_frames.min(range.end - start);
            bytes.resize((frames * frame_bytes) as usize, 0);
            self.file
                .read_exact(&mut bytes)
                .map_err(|error| Error::io("read", &self.path, &error))?;
            self.layout.encoding.average(&bytes, usize::from(self.layout.channels), &mut mono);
            start += frames;
        }
        Ok(mono)
    }
}

/// An error about a header. `cause` is a sentence without its end.
pub fn broken(path: &Path, format: Format, cause: &str) -> Error {
    Error::input(format!(
        "{} is a broken or unusual {format} file: {cause}; convert it again, for example with \
         `ffmpeg -i INPUT -c:a pcm_s16le OUTPUT.wav`",
        path.display()
    ))
}

/// A file's bytes by their place. Reading beyond the end is an error of its own.
pub struct Header {
    file: File,
    pub len: u64,
}

impl Header {
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }

    pub fn bytes(&mut self, at: u64, length: u64) -> std::io::Result<Vec<u8>> {
        if at.checked_add(length).is_none_or(|end| end > self.len) {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; length as usize];
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub fn array<const N: usize>(&mut self, at: u64) -> std::io::Result<[u8; N]> {
        Ok(self.bytes(at, N as u64)?.try_into().expect("as many bytes as were asked for"))
    }
}
