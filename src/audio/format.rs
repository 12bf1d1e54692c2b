//! What a file really is. Its first bytes decide, not the ending of its name.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::find::has_audio_ending;
use super::mpeg::{self, Codec};
use crate::error::{Error, Result};

/// The audio formats that are recognised. Recognising one does not mean that it can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RIFF, RIFX, RF64 or BW64.
    Wav,
    /// MPEG audio, layer III.
    Mp3,
    /// FLAC in its own stream.
    Flac,
    /// Ogg; Vorbis, Opus and FLAC in it are decoded.
    Ogg,
    /// MP4 and M4A; AAC-LC and ALAC in it are decoded.
    Mp4,
    /// AAC in ADTS frames.
    Aac,
    /// AIFF and AIFF-C.
    Aiff,
    /// Apple's Core Audio Format.
    Caf,
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
            Self::Caf => "CAF",
        })
    }
}

/// The format of the file at `path`, or `None` where its first bytes are no audio that is known.
///
/// # Errors
/// The file cannot be opened or read.
pub fn format_of(path: &Path) -> Result<Option<Format>> {
    Ok(sniff(path)?.map(|(format, _)| format))
}

/// The format, and the byte where it begins: ID3 and APE tags may stand in front of any, and other
/// bytes in front of MP3 and AAC whose name promises audio.
pub(crate) fn sniff(path: &Path) -> Result<Option<(Format, u64)>> {
    let io_error = |error| Error::io("read", path, &error);
    // Reading a pipe or a device could wait for ever.
    if !path.metadata().map_err(io_error)?.is_file() {
        return Err(Error::input(format!("{} is not a file", path.display())));
    }
    let mut file = File::open(path).map_err(io_error)?;
    let mut offset = 0;
    // Every tag is at least its header, so that the position rises and the loop ends.
    loop {
        let mut start = Vec::with_capacity(START);
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| (&file).take(START as u64).read_to_end(&mut start))
            .map_err(io_error)?;
        if let Some(length) = tag_length(&start) {
            offset += length;
        } else if let Some(format) = recognise(&start) {
            return Ok(Some((format, offset)));
        } else {
            break;
        }
    }
    if (offset > 0 || has_audio_ending(path))
        && let Some((codec, at)) = mpeg::find(&file, offset).map_err(io_error)?
    {
        let format = match codec {
            Codec::Mp3 => Format::Mp3,
            Codec::Adts => Format::Aac,
        };
        return Ok(Some((format, at)));
    }
    // What follows a tag is told by its decoder.
    Ok((offset > 0).then_some((Format::Mp3, offset)))
}

/// Bytes by which tags and formats are told.
const START: usize = 16;

/// Bytes of the ID3v2 or APE tag that begins here.
fn tag_length(start: &[u8]) -> Option<u64> {
    match start {
        [b'I', b'D', b'3', _, _, flags, length @ ..] => {
            let length = length.get(..4)?;
            let length = length.iter().fold(0, |sum, &byte| sum << 7 | u64::from(byte & 0x7f));
            let footer = if flags & 0x10 == 0 { 0 } else { 10 };
            Some(10 + length + footer)
        }
        // Its length is that of what follows its first 32 bytes.
        [b'A', b'P', b'E', b'T', b'A', b'G', b'E', b'X', _, _, _, _, length @ ..] => {
            Some(32 + u64::from(u32::from_le_bytes(*length.first_chunk()?)))
        }
        _ => None,
    }
}

/// Pictures in the container that music has too.
const PICTURES: [&[u8]; 7] = [b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis"];

/// RIFF, with big-endian numbers, and for more than 4 GiB under its two names.
const RIFF: [&[u8]; 4] = [b"RIFF", b"RIFX", b"RF64", b"BW64"];

fn recognise(start: &[u8]) -> Option<Format> {
    let at = |offset: usize, tag: &[u8]| start.get(offset..).is_some_and(|s| s.starts_with(tag));
    if RIFF.iter().any(|tag| at(0, tag)) && at(8, b"WAVE") {
        Some(Format::Wav)
    } else if at(0, b"fLaC") {
        Some(Format::Flac)
    } else if at(0, b"OggS") {
        Some(Format::Ogg)
    } else if at(4, b"ftyp") {
        (!PICTURES.iter().any(|brand| at(8, brand))).then_some(Format::Mp4)
    } else if at(0, b"FORM") && (at(8, b"AIFF") || at(8, b"AIFC")) {
        Some(Format::Aiff)
    } else if at(0, b"caff\0\x01") {
        Some(Format::Caf)
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
