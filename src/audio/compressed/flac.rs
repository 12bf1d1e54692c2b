//! A FLAC file without what its demultiplexer stumbles over.
//!
//! Symphonia gives a file up for a picture whose lengths are wrong or for block sizes that its
//! encoder left wrong, and takes a tag behind the last frame for a part of it.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::ops::Range;

use super::source::Source;

/// Kinds of blocks of metadata: the description of the stream; what is passed over; and what a
/// decoder has no use for (another program's, comments, a cue sheet, a picture).
const STREAM_INFO: u8 = 0;
const PADDING: u8 = 1;
const UNUSED: [u8; 4] = [2, 4, 5, 6];
/// Marks the last block.
const LAST: u8 = 0x80;
/// Bytes of an ID3v1 tag, and of the header and the footer of an APE tag.
const ID3V1: u64 = 128;
const APE: u64 = 32;
/// Sizes of blocks (in frames) that the format allows.
const BLOCK: Range<u16> = 16..u16::MAX;
/// The most bytes of a frame's header.
const FRAME_HEADER: u64 = 16;

/// The file whose `fLaC` stands at `start`: pictures and comments are shown as padding, and the
/// description gives the sizes of blocks that the first frame has.
pub fn source(mut file: File, start: u64) -> Result<Source> {
    let end = end(&mut file)?;
    let mut changes: Vec<(u64, Vec<u8>)> = Vec::new();
    let (mut description, mut at) = (None, start + 4);
    let mut header = [0; 4];
    while at + 4 <= end && header[0] & LAST == 0 {
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let [kind, high, middle, low] = header;
        if UNUSED.contains(&(kind & !LAST)) {
            changes.push((at, vec![kind & LAST | PADDING]));
        } else if kind & !LAST == STREAM_INFO {
            description.get_or_insert(at + 4);
        }
        at += 4 + u64::from(u32::from_be_bytes([0, high, middle, low]));
    }
    if let Some(description) = description
        && let Some(blocks) = first_frame(&mut file, at..end)?
    {
        let mut sizes = [0; 4];
        file.seek(SeekFrom::Start(description))?;
        file.read_exact(&mut sizes)?;
        if !blocks.agree(sizes) {
            let (least, most) = blocks.bounds();
            changes.push((description, [least.to_be_bytes(), most.to_be_bytes()].concat()));
        }
    }
    changes.sort();
    let (mut source, mut at) = (Source::new(file), start);
    for (place, bytes) in changes {
        let behind = place + bytes.len() as u64;
        source = source.with_stretch(at..place).with_bytes(bytes);
        at = behind;
    }
    Ok(source.with_stretch(at..end.max(at)))
}

/// How the first frame says that the stream is laid out.
enum Blocks {
    /// All but the last have this size.
    Fixed(u16),
    Variable,
}

impl Blocks {
    fn bounds(&self) -> (u16, u16) {
        match *self {
            Self::Fixed(size) => (size, size),
            Self::Variable => (BLOCK.start, BLOCK.end),
        }
    }

    /// Whether the description says the same in its own way. The only frame of a file may be
    /// shorter than its blocks.
    fn agree(&self, description: [u8; 4]) -> bool {
        let [a, b, c, d] = description;
        let (least, most) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        match *self {
            Self::Fixed(size) => least == most && size <= most && most >= BLOCK.start,
            // A block that is larger than the largest would be passed over.
            Self::Variable => (least, most) == (BLOCK.start, BLOCK.end),
        }
    }
}

/// None where the bytes of `frames` do not begin with a frame.
fn first_frame(file: &mut File, frames: Range<u64>) -> Result<Option<Blocks>> {
    let mut header = Vec::new();
    file.seek(SeekFrom::Start(frames.start))?;
    let there = frames.end.saturating_sub(frames.start).min(FRAME_HEADER);
    file.take(there).read_to_end(&mut header)?;
    let [0xff, second, sizes, _, number, rest @ ..] = &header[..] else { return Ok(None) };
    let variable = match second {
        0xf8 => false,
        0xf9 => true,
        _ => return Ok(None),
    };
    if variable {
        return Ok(Some(Blocks::Variable));
    }
    // The frame's number is written as UTF-8 writes a letter.
    let size = rest.get((number.leading_ones() as usize).saturating_sub(1)..).unwrap_or_default();
    let size = match (sizes >> 4, size) {
        (1, _) => Some(192),
        (code @ 2..=5, _) => Some(576 << (code - 2)),
        (6, [low, ..]) => Some(u16::from(*low) + 1),
        (7, [high, low, ..]) => u16::from_be_bytes([*high, *low]).checked_add(1),
        (code @ 8..=15, _) => Some(256 << (code - 8)),
        _ => None,
    };
    Ok(size.map(|size| Blocks::Fixed(size.max(BLOCK.start))))
}

/// Where the tags begin that stand behind the sound.
fn end(file: &mut File) -> Result<u64> {
    let mut end = file.metadata()?.len();
    let mut last = |end: u64, length: u64| -> Result<[u8; APE as usize]> {
        let mut bytes = [0; APE as usize];
        if end >= length {
            file.seek(SeekFrom::Start(end - length))?;
            file.read_exact(&mut bytes)?;
        }
        Ok(bytes)
    };
    if last(end, ID3V1)?.starts_with(b"TAG") {
        end -= ID3V1;
    }
    // Its name, version, length without the header, count of items, flags (the highest: there is a
    // header).
    let footer = last(end, APE)?;
    if footer.starts_with(b"APETAGEX") {
        let number = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().unwrap());
        let header = if number(20) >> 31 == 1 { APE } else { 0 };
        end = end.saturating_sub(u64::from(number(12)) + header);
    }
    Ok(end)
}
