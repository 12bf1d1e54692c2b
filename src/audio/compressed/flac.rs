//! A FLAC file without what its demultiplexer stumbles over.
//!
//! Symphonia gives a file up for a picture whose lengths are wrong or for block sizes that its
//! encoder left wrong, takes a tag behind the last frame for a part of it, and hears of joined files
//! the first.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};
use std::iter::once;
use std::ops::Range;

use super::source::Source;

/// Kinds of blocks of metadata: the description of the stream; what is passed over; and what a
/// decoder has no use for (another program's, comments, a cue sheet, a picture). Of tables of places, the
/// first counts.
const STREAM_INFO: u8 = 0;
pub const PADDING: u8 = 1;
const SEEK_TABLE: u8 = 3;
pub const UNUSED: [u8; 4] = [2, 4, 5, 6];
/// Marks the last block.
pub const LAST: u8 = 0x80;
/// How a stream begins: its mark, and the header of its description.
const BEGIN: [u8; 8] = *b"fLaC\0\0\0\x22";
pub const DESCRIPTION: usize = 34;
/// Bytes of an ID3v1 tag, and of the header and the footer of an APE tag.
const ID3V1: u64 = 128;
const APE: u64 = 32;
/// Sizes of blocks (in frames) that the format allows.
const BLOCK: Range<u16> = 16..u16::MAX;
/// The most bytes of a frame's header.
const FRAME_HEADER: usize = 16;
/// At how many places it is looked whether frames are counted on, and how many bytes are read there: of
/// nearly all files more than a frame.
const PLACES: u64 = 8;
const LOOKED_AT: u64 = 1 << 15;
/// The bytes before the end in which the last frame begins, and how many headers in them may be its: a frame holds few
/// by chance.
const TAIL: u64 = 1 << 17;
const LAST_HEADERS: usize = 64;

/// Where each of the streams lies in the file whose first begins at `start`, to the end of its last frame: joined
/// files have several. Looking for the beginning of another stream would mean to read all of each file.
pub fn links(file: &File, start: u64) -> Result<Vec<Range<u64>>> {
    let whole = Sound::read(file, start..file.metadata()?.len())?;
    if whole.is_counted_on(file)? {
        return Ok(once(start..whole.end_of_last_frame()).collect());
    }
    let mut begins = vec![start];
    begins.extend(streams_within(file, whole.frames.clone())?);
    let ends = begins[1..].iter().copied().chain([whole.frames.end]);
    let streams = begins.iter().copied().zip(ends);
    streams
        .map(|(begin, end)| Ok(begin..Sound::read(file, begin..end)?.end_of_last_frame()))
        .collect()
}

/// The frames of a stream, as far as its first and its last tell of them.
struct Sound {
    /// Samples that the description says; 0 if it does not.
    said: u64,
    /// Without the tags behind them.
    frames: Range<u64>,
    /// None where no frame stands at their beginning.
    first: Option<Header>,
    /// Their last bytes, and the headers in them.
    tail: Vec<u8>,
    headers: Vec<(usize, Header)>,
}

impl Sound {
    fn read(mut file: &File, stream: Range<u64>) -> Result<Self> {
        let metadata = Metadata::read(&mut file, stream.clone())?;
        let frames = metadata.frames..end(&mut file, stream.end)?;
        let first = first_frame(&mut file, frames.clone())?;
        let start = frames.end.saturating_sub(TAIL).max(frames.start);
        let tail = read(&mut file, start..frames.end)?;
        let headers = first.iter().flat_map(|first| headers(&tail, first)).collect();
        Ok(Self { said: metadata.samples(), frames, first, tail, headers })
    }

    /// Whether frames are counted from the first to the last that the description speaks of.
    fn is_counted_on(&self, mut file: &File) -> Result<bool> {
        let (Some(first), Some((_, last))) = (&self.first, self.headers.last()) else {
            return Ok(false);
        };
        let length = self.frames.end.saturating_sub(self.frames.start);
        let mut before = 0;
        for place in 1..PLACES {
            let at = self.frames.start + length / PLACES * place;
            let bytes = read(&mut file, at..(at + LOOKED_AT).min(self.frames.end))?;
            // Of large frames none may begin here.
            let Some((_, frame)) = headers(&bytes, first).next() else { continue };
            if frame.position(first) < before {
                return Ok(false);
            }
            before = frame.position(first);
        }
        Ok(self.said == 0 || last.position(first) + u64::from(last.size) == self.said)
    }

    /// Where the last frame ends, whatever stands behind it: where its checksum is right. Of a frame that
    /// is cut nothing is known, and all is left as it is.
    fn end_of_last_frame(&self) -> u64 {
        let ends_of = |(at, header): &(usize, Header)| {
            // With its checksum, a frame has a checksum of zero.
            let sums = self.tail[*at..].iter().scan(0u16, |sum, byte| {
                *sum = (0..8).fold(*sum ^ u16::from(*byte) << 8, |sum, _| {
                    sum << 1 ^ if sum >> 15 == 1 { 0x8005 } else { 0 }
                });
                Some(*sum)
            });
            let least = header.length + 2;
            (at + 1..).zip(sums).skip(least).filter(|(_, sum)| *sum == 0).map(|(end, _)| end).last()
        };
        let whole = Some(self.tail.len());
        let mut last = self.headers.iter().rev().take(LAST_HEADERS);
        if last.any(|header| ends_of(header) == whole) {
            return self.frames.end;
        }
        // By chance, one place in 65 536 of a frame looks like its end as well: the last one is it.
        let behind = self.headers.last().and_then(ends_of).map(|end| self.tail.len() - end);
        self.frames.end - behind.unwrap_or(0) as u64
    }
}

/// Where streams begin in `bytes` of the file.
fn streams_within(mut file: &File, bytes: Range<u64>) -> Result<Vec<u64>> {
    file.seek(SeekFrom::Start(bytes.start))?;
    let reader =
        BufReader::with_capacity(1 << 16, file.take(bytes.end.saturating_sub(bytes.start)));
    let (mut found, mut known) = (Vec::new(), 0);
    for (at, byte) in (bytes.start..).zip(reader.bytes()) {
        let byte = byte?;
        // No byte of the mark but its first is the first.
        known = if byte == BEGIN[known] { known + 1 } else { usize::from(byte == BEGIN[0]) };
        if known == BEGIN.len() {
            found.push(at + 1 - known as u64);
            known = 0;
        }
    }
    Ok(found)
}

/// What stands in front of the frames.
struct Metadata {
    description: Option<(u64, [u8; DESCRIPTION])>,
    /// What is to be shown instead.
    changes: Vec<(u64, Vec<u8>)>,
    /// Where they begin.
    frames: u64,
}

impl Metadata {
    fn read(file: &mut (impl Read + Seek), stream: Range<u64>) -> Result<Self> {
        let mut changes: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut description, mut at, mut tables) = (None, stream.start + 4, 0);
        let mut header = [0; 4];
        while at + 4 <= stream.end && header[0] & LAST == 0 {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut header)?;
            let [kind, high, middle, low] = header;
            let length = u64::from(u32::from_be_bytes([0, high, middle, low]));
            tables += usize::from(kind & !LAST == SEEK_TABLE);
            let second_table = kind & !LAST == SEEK_TABLE && tables > 1;
            if UNUSED.contains(&(kind & !LAST)) || second_table {
                changes.push((at, vec![kind & LAST | PADDING]));
            } else if kind & !LAST == STREAM_INFO
                && description.is_none()
                && at + 4 + DESCRIPTION as u64 <= stream.end
            {
                let mut bytes = [0; DESCRIPTION];
                file.read_exact(&mut bytes)?;
                description = Some((at + 4, bytes));
            }
            at += 4 + length;
        }
        Ok(Self { description, changes, frames: at })
    }

    /// Samples of a channel; 0 if they are not said.
    fn samples(&self) -> u64 {
        let Some((_, bytes)) = self.description else { return 0 };
        let low = u32::from_be_bytes(bytes[14..18].try_into().expect("four bytes"));
        u64::from(bytes[13] & 0xf) << 32 | u64::from(low)
    }
}

/// The stream that lies in `bytes` of the file, from its `fLaC` on: pictures and comments are shown as
/// padding, and the description gives the sizes of blocks that the first frame has.
pub fn source(mut file: File, bytes: Range<u64>) -> Result<Source> {
    let Metadata { description, mut changes, frames } = Metadata::read(&mut file, bytes.clone())?;
    if let Some(first) = first_frame(&mut file, frames..bytes.end)?
        && let Some((place, description)) = description
        && !first.agrees(description)
    {
        changes.push((place, first.sizes().to_vec()));
    }
    changes.sort();
    let (mut source, mut at) = (Source::new(file), bytes.start);
    for (place, shown) in changes {
        let behind = place + shown.len() as u64;
        source = source.with_stretch(at..place).with_bytes(shown);
        at = behind;
    }
    Ok(source.with_stretch(at..bytes.end.max(at)))
}

/// What a frame's header says.
pub struct Header {
    /// Frames have sizes of their own, and count samples; else all but the last have one, and they count
    /// themselves.
    variable: bool,
    /// Samples of a channel.
    size: u16,
    number: u64,
    /// Bytes of the header.
    length: usize,
}

impl Header {
    /// None where `bytes` do not begin with one, which its checksum tells.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, blocking @ (0xf8 | 0xf9), sizes, _, number, ..] = bytes else { return None };
        // The number is written as UTF-8 writes a letter, of up to seven bytes.
        let more = match number.leading_ones() {
            0 => 0,
            ones @ 2..=7 => ones as usize - 1,
            _ => return None,
        };
        let first = u64::from(number & (0x7f >> number.leading_ones().min(7)));
        let rest = bytes.get(5..5 + more)?;
        let number = rest.iter().fold(first, |number, byte| number << 6 | u64::from(byte & 0x3f));
        let mut length = 5 + more;
        let size = match (sizes >> 4, bytes.get(length..)?) {
            (1, _) => 192,
            (code @ 2..=5, _) => 576 << (code - 2),
            (6, [low, ..]) => {
                length += 1;
                u16::from(*low) + 1
            }
            (7, [high, low, ..]) => {
                length += 2;
                u16::from_be_bytes([*high, *low]).checked_add(1)?
            }
            (code @ 8..=15, _) => 256 << (code - 8),
            _ => return None,
        };
        length += match sizes & 0xf {
            12 => 1,
            13 | 14 => 2,
            _ => 0,
        };
        let checksum = bytes[..length.min(bytes.len())].iter().fold(0u8, |sum, byte| {
            (0..8).fold(sum ^ byte, |sum, _| sum << 1 ^ if sum >> 7 == 1 { 0x07 } else { 0 })
        });
        let variable = blocking == 0xf9;
        (bytes.get(length) == Some(&checksum)).then_some(Self {
            variable,
            size,
            number,
            length: length + 1,
        })
    }

    /// The least and the most samples of a block, as the description has them.
    pub fn sizes(&self) -> [u8; 4] {
        let size = self.size.max(BLOCK.start);
        let (least, most) = if self.variable { (BLOCK.start, BLOCK.end) } else { (size, size) };
        (u32::from(least) << 16 | u32::from(most)).to_be_bytes()
    }

    /// Whether the description says the same in its own way. A block that is larger than the largest
    /// would be passed over, and where all have one size, that is what frames are counted in.
    pub fn agrees(&self, description: [u8; DESCRIPTION]) -> bool {
        description.starts_with(&self.sizes())
    }

    /// The first of its samples, in a stream whose `first` frame this is.
    fn position(&self, first: &Self) -> u64 {
        if self.variable { self.number } else { self.number.saturating_mul(first.size.into()) }
    }
}

/// The headers in `bytes` of a stream with this `first` frame, and where they stand.
fn headers<'a>(bytes: &'a [u8], first: &Header) -> impl Iterator<Item = (usize, Header)> + 'a {
    let variable = first.variable;
    (0..bytes.len())
        .filter_map(|at| Some((at, Header::parse(&bytes[at..])?)))
        .filter(move |(_, header)| header.variable == variable)
}

/// None where the bytes of `frames` do not begin with a frame.
fn first_frame(file: &mut (impl Read + Seek), frames: Range<u64>) -> Result<Option<Header>> {
    let end = frames.end.min(frames.start + FRAME_HEADER as u64);
    Ok(Header::parse(&read(file, frames.start..end)?))
}

fn read(file: &mut (impl Read + Seek), bytes: Range<u64>) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    file.seek(SeekFrom::Start(bytes.start))?;
    file.take(bytes.end.saturating_sub(bytes.start)).read_to_end(&mut read)?;
    Ok(read)
}

/// Where the tags begin that stand behind the sound, of a stream that ends at `end`.
fn end(file: &mut (impl Read + Seek), mut end: u64) -> Result<u64> {
    let mut last = |end: u64, length: u64| -> Result<[u8; APE as usize]> {
        let mut bytes = [0; APE as usize];
        if end >= length {
            file.seek(SeekFrom::Start(end - length))?;
            file.read_exact(&mut bytes)?;
        }
        Ok(bytes)
    };
    loop {
        if last(end, ID3V1)?.starts_with(b"TAG") {
            end -= ID3V1;
            continue;
        }
        // Its name, version, length without the header, count of items, flags (the highest: there is a
        // header).
        let footer = last(end, APE)?;
        if !footer.starts_with(b"APETAGEX") {
            return Ok(end);
        }
        let number = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().unwrap());
        let header = if number(20) >> 31 == 1 { APE } else { 0 };
        end = end.saturating_sub((u64::from(number(12)) + header).max(APE));
    }
}
