//! What a file really is. Its first bytes decide, not the ending of its name.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// The audio formats that are recognised. Recognising one does not mean that it can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Wav,
    Mp3,
    Flac,
    Ogg,
    Mp4,
    Aac,
    Aiff,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wav => "WAV",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::Ogg => "Ogg",
            Self::Mp4 => "MP4 (M4A)",
            Self::Aac => "AAC",
            Self::Aiff => "AIFF",
        })
    }
}

/// The format of the file at `path`, or `None` where its first bytes are no audio that is known.
///
/// # Errors
/// The file cannot be opened or read.
pub fn format_of(path: &Path) -> Result<Option<Format>> {
    let mut start = Vec::with_capacity(12);
    File::open(path)
        .and_then(|file| file.take(12).read_to_end(&mut start))
        .map_err(|error| Error::io("read", path, &error))?;
    Ok(recognise(&start))
}

fn recognise(start: &[u8]) -> Option<Format> {
    let at = |offset: usize, tag: &[u8]| start.get(offset..).is_some_and(|s| s.starts_with(tag));
    if (at(0, b"RIFF") || at(0, b"RF64")) && at(8, b"WAVE") {
        Some(Format::Wav)
    } else if at(0, b"fLaC") {
        Some(Format::Flac)
    } else if at(0, b"OggS") {
        Some(Format::Ogg)
    } else if at(4, b"ftyp") {
        Some(Format::Mp4)
    } else if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        Some(Format::Aiff)
    } else if at(0, b"ID3") {
        Some(Format::Mp3)
    } else {
        frame_sync(start)
    }
}

/// MPEG audio without a tag begins with a frame: eleven set bits, then version and layer. Layer III
/// is MP3, the reserved layer 0 is AAC in ADTS; anything else (the byte order mark of UTF-16 text
/// looks like layer I) is left alone.
fn frame_sync(start: &[u8]) -> Option<Format> {
    let [0xff, second, third, ..] = *start else { return None };
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    let (bitrate, rate) = (third >> 4, third >> 2 & 3);
    match (second >> 5, layer) {
        (7, 1) if version != 1 && bitrate != 15 && rate != 3 => Some(Format::Mp3),
        (7, 0) if version >= 2 => Some(Format::Aac),
        _ => None,
    }
}
