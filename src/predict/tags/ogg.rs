//! Ogg: pages of one or several streams; Vorbis, Opus, Speex and FLAC in it.
//!
//! A page is `OggS`, a zero, flags, granule position (8 bytes), serial number of its stream (4),
//! its number in the stream (4), checksum (4), the number of segments, the length of each, and the
//! segments. A packet is segments up to one of less than 255 bytes. A stream's second packet is its
//! comments. They are laid over pages anew; should these become more or fewer, later pages of the
//! stream get other numbers. Other streams, and those that follow, stay as they are.

use std::ops::Range;

use super::comments::Comments;
use super::content::{Content, Edit};
use super::{Container, MOOD, Part};
use crate::audio::page_checksum;
use crate::{Error, Result};

/// Bytes of a page in front of the lengths of its segments.
const HEADER: usize = 27;
/// Bytes of a page in front of its number, which its checksum follows.
const NUMBER: usize = 18;
const CHECKSUM: usize = 22;
/// The length of a segment that its packet goes on after, and the most segments of a page.
const FULL: usize = 255;
/// Flags of a page.
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// The granule position of a page on which no packet ends.
const NO_PACKET: [u8; 8] = [0xff; 8];
/// Bytes in which the next page is looked for at a time, at first and at most.
const SEARCHED: Range<u64> = 1 << 7..1 << 16;

/// What stands in front of the comments.
#[derive(Clone, Copy)]
enum Codec {
    /// This text.
    Marked(&'static [u8]),
    Speex,
    /// The header of a block of metadata, with the length of the comments.
    Flac,
}

impl Codec {
    /// By the first packet of a stream.
    fn of(packet: &[u8]) -> Option<Self> {
        let codecs: [(&[u8], Self); 4] = [
            (b"\x01vorbis", Self::Marked(b"\x03vorbis")),
            (b"OpusHead", Self::Marked(b"OpusTags")),
            (b"Speex   ", Self::Speex),
            (b"\x7fFLAC", Self::Flac),
        ];
        codecs.into_iter().find(|(begin, _)| packet.starts_with(begin)).map(|(_, codec)| codec)
    }

    /// How many bytes of the packet stand in front of the comments.
    fn lead(self, packet: &[u8]) -> Result<usize> {
        let lead = match self {
            Self::Marked(mark) => packet.starts_with(mark).then_some(mark.len()),
            Self::Speex => Some(0),
            Self::Flac => match packet.first_chunk::<4>() {
                Some(&[kind, a, b, c])
                    if kind & 0x7f == 4 && [0, a, b, c] == block_length(packet.len() - 4) =>
                {
                    Some(4)
                }
                _ => None,
            },
        };
        lead.ok_or_else(|| Error::input("its second packet is no block of comments"))
    }
}

fn block_length(length: usize) -> [u8; 4] {
    (length as u32).to_be_bytes()
}

struct Page {
    at: u64,
    flags: u8,
    granule: [u8; 8],
    serial: [u8; 4],
    number: u32,
    lacing: Vec<u8>,
}

impl Page {
    /// The page at `at`, if one stands there as a whole.
    fn parse(content: &Content<'_>, at: u64) -> Result<Option<Self>> {
        let bytes = content.read_to(at..at.saturating_add((HEADER + FULL) as u64))?;
        let Some((&header, rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
        let Some(lacing) = rest.get(..header[26].into()) else { return Ok(None) };
        let take = |at: usize| header[at..at + 4].try_into().expect("four bytes");
        let page = Self {
            at,
            flags: header[5],
            granule: header[6..14].try_into().expect("eight bytes"),
            serial: take(14),
            number: u32::from_le_bytes(take(NUMBER)),
            lacing: lacing.to_vec(),
        };
        let whole = header.starts_with(b"OggS\0") && page.body().end <= content.len();
        Ok(whole.then_some(page))
    }

    fn body(&self) -> Range<u64> {
        let start = self.at + (HEADER + self.lacing.len()) as u64;
        start..start + self.lacing.iter().map(|&length| u64::from(length)).sum::<u64>()
    }

    fn end(&self) -> u64 {
        self.body().end
    }

    /// Its bytes, with `body` in its segments.
    fn bytes(&self, body: &[u8]) -> Vec<u8> {
        let mut bytes = [b"OggS\0", &[self.flags][..], &self.granule, &self.serial].concat();
        bytes.extend(self.number.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.push(self.lacing.len() as u8);
        bytes.extend(&self.lacing);
        bytes.extend(body);
        let checksum = page_checksum(bytes.iter().copied());
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The checksum that it would have with `body` in its segments.
    fn checksum(&self, body: &[u8]) -> [u8; 4] {
        self.bytes(body)[CHECKSUM..CHECKSUM + 4].try_into().expect("four bytes")
    }

    /// Another number for it. The checksum is linear: it changes by that of what changes, so that a
    /// damaged page stays one.
    fn renumber(&self, content: &Content<'_>, number: u32) -> Result<Edit> {
        let place = self.at + NUMBER as u64;
        let old = content.array::<4>(place + 4).map(u32::from_le_bytes)?;
        let behind = (self.end() - self.at) as usize - CHECKSUM;
        let change = (self.number ^ number).to_le_bytes();
        let checksum =
            old ^ page_checksum(change.into_iter().chain(std::iter::repeat_n(0, behind)));
        let bytes = [number.to_le_bytes(), checksum.to_le_bytes()].concat();
        Ok(Edit { range: place..place + 8, bytes })
    }

    /// All that its number and its checksum say nothing of.
    fn rest(&self, step: u32) -> [Part; 2] {
        let header = [&[self.flags][..], &self.granule, &step.to_le_bytes(), &self.lacing].concat();
        [Part::Value(header), Part::Kept(self.body())]
    }
}

/// Whatever lies one after the other.
enum Run {
    /// A page of the stream.
    Own(Page),
    /// Pages of other streams, or no pages.
    Foreign(Range<u64>),
}

pub struct Ogg {
    codec: Codec,
    /// Pages over which the comments are laid.
    pages: Vec<Page>,
    /// The packet of comments.
    packet: Vec<u8>,
    comments: Comments,
    /// What the last of `pages` holds behind the comments: as a page of its own, and its segments.
    behind: Option<(Page, Vec<u8>)>,
    /// All that comes before and after.
    before: Vec<Part>,
    after: Vec<Run>,
}

impl Ogg {
    /// The file whose first page stands at `start`.
    ///
    /// # Errors
    /// No stream has comments that can be told apart.
    pub fn parse(content: &Content<'_>, start: u64) -> Result<Self> {
        let (codec, serial, first_end) = stream(content, start)?;
        let mut before = vec![Part::Kept(0..first_end)];
        let mut pages: Vec<Page> = Vec::new();
        let mut packet = Vec::new();
        let mut at = first_end;
        let behind = loop {
            let Some(page) = Page::parse(content, at)? else {
                return Err(Error::input("its comments do not end"));
            };
            at = page.end();
            if page.serial != serial {
                before.push(Part::Kept(page.at..at));
                continue;
            }
            if page.flags & FIRST != 0 || (page.flags & CONTINUED != 0) == pages.is_empty() {
                return Err(Error::input("its comments are cut apart"));
            }
            let ends = page.lacing.iter().position(|&length| usize::from(length) < FULL);
            let body = content.read(page.body())?;
            // Players skip it. Laid anew it would have a right one, and they would believe it.
            if content.array::<4>(page.at + CHECKSUM as u64)? != page.checksum(&body) {
                return Err(Error::input(
                    "a page of its comments is damaged: its checksum is wrong",
                ));
            }
            let segments = ends.map_or(page.lacing.len(), |end| end + 1);
            let (own, rest) = page.lacing.split_at(segments);
            let length = own.iter().map(|&length| usize::from(length)).sum();
            packet.extend(&body[..length]);
            let behind = Page {
                at,
                flags: page.flags & !CONTINUED,
                granule: granule(&page, rest),
                lacing: rest.to_vec(),
                ..page
            };
            pages.push(page);
            if ends.is_some() {
                let full = !behind.lacing.is_empty();
                break full.then(|| (behind, body[length..].to_vec()));
            }
        };
        let lead = codec.lead(&packet)?;
        let comments = Comments::parse(&packet[lead..])?;
        let after = later(content, at, serial)?;
        Ok(Self { codec, pages, packet, comments, behind, before, after })
    }

    fn packet(&self, moods: &[String]) -> Result<Vec<u8>> {
        let lead = self.codec.lead(&self.packet)?;
        let comments = self.comments.with(moods);
        let mut packet = self.packet[..lead].to_vec();
        if matches!(self.codec, Codec::Flac) {
            let [0, length @ ..] = block_length(comments.len()) else {
                return Err(Error::input("its comments are longer than FLAC allows"));
            };
            packet[1..].copy_from_slice(&length);
        }
        packet.extend(comments);
        Ok(packet)
    }

    /// `packet`, and what followed it on its last page, on pages of their own.
    fn laid(&self, packet: &[u8]) -> (Vec<u8>, u32) {
        let (first, last) = (&self.pages[0], &self.pages[self.pages.len() - 1]);
        let mut lacing = vec![FULL as u8; packet.len() / FULL];
        lacing.push((packet.len() % FULL) as u8);
        let (mut bytes, mut number, mut body) = (Vec::new(), first.number, packet);
        let mut write = |flags: u8, granule: [u8; 8], lacing: &[u8], body: &[u8]| {
            let (at, serial) = (0, first.serial);
            let lacing = lacing.to_vec();
            bytes.extend(Page { at, flags, granule, serial, number, lacing }.bytes(body));
            number = number.wrapping_add(1);
        };
        let chunks = lacing.chunks(FULL);
        let count = chunks.len();
        for (index, chunk) in chunks.enumerate() {
            let continued = if index > 0 { CONTINUED } else { 0 };
            let length = chunk.iter().map(|&length| usize::from(length)).sum();
            let (own, rest) = body.split_at(length);
            body = rest;
            match &self.behind {
                _ if index + 1 < count => write(continued, NO_PACKET, chunk, own),
                None => write(continued | last.flags & LAST, last.granule, chunk, own),
                Some((behind, more)) if chunk.len() + behind.lacing.len() <= FULL => {
                    let lacing = [chunk, &behind.lacing].concat();
                    write(continued | behind.flags, last.granule, &lacing, &[own, more].concat());
                }
                Some((behind, more)) => {
                    write(continued, [0; 8], chunk, own);
                    write(behind.flags, behind.granule, &behind.lacing, more);
                }
            }
        }
        (bytes, number)
    }
}

/// The granule position of a page with `lacing` of `page`'s last segments.
fn granule(page: &Page, lacing: &[u8]) -> [u8; 8] {
    match lacing.iter().any(|&length| usize::from(length) < FULL) {
        true => page.granule,
        false => NO_PACKET,
    }
}

/// The first stream that has comments, its serial number, and where its first page ends.
fn stream(content: &Content<'_>, start: u64) -> Result<(Codec, [u8; 4], u64)> {
    let mut at = start;
    while let Some(page) = Page::parse(content, at)?
        && page.flags & FIRST != 0
    {
        let body = content.read(page.body())?;
        if body.starts_with(b"fishead\0") && body.get(8).is_some_and(|version| *version >= 4) {
            return Err(Error::input(
                "it has an index of its bytes (Ogg Skeleton 4), which would be wrong behind the tag",
            ));
        }
        if let Some(codec) = Codec::of(&body) {
            let packets = page.lacing.iter().filter(|&&length| usize::from(length) < FULL);
            return match packets.count() == 1 && page.lacing.last() != Some(&(FULL as u8)) {
                true => Ok((codec, page.serial, page.end())),
                false => Err(Error::input("its first page holds more than its first packet")),
            };
        }
        at = page.end();
    }
    Err(Error::input("it holds no Vorbis, Opus, Speex or FLAC"))
}

/// What follows at `at`, up to the last page of the stream, and all the rest in one.
fn later(content: &Content<'_>, mut at: u64, serial: [u8; 4]) -> Result<Vec<Run>> {
    let mut runs = Vec::new();
    let mut foreign = at;
    while at < content.len() {
        let Some(page) = Page::parse(content, at)? else {
            at = next_mark(content, at + 1)?;
            continue;
        };
        at = page.end();
        if page.serial != serial {
            continue;
        }
        // Another stream under the same number.
        if page.flags & FIRST != 0 {
            break;
        }
        if foreign < page.at {
            runs.push(Run::Foreign(foreign..page.at));
        }
        foreign = at;
        let last = page.flags & LAST != 0;
        runs.push(Run::Own(page));
        if last {
            break;
        }
    }
    runs.push(Run::Foreign(foreign..content.len()));
    Ok(runs)
}

/// Where the next page may begin, or the end.
fn next_mark(content: &Content<'_>, mut at: u64) -> Result<u64> {
    const MARK: &[u8] = b"OggS";
    let mut searched = SEARCHED.start;
    loop {
        let bytes = content.read_to(at..at + searched)?;
        if let Some(place) = bytes.windows(MARK.len()).position(|part| part == MARK) {
            return Ok(at + place as u64);
        }
        if (bytes.len() as u64) < searched {
            return Ok(content.len());
        }
        at += searched - MARK.len() as u64 + 1;
        searched = SEARCHED.end.min(2 * searched);
    }
}

impl Container for Ogg {
    fn field(&self) -> &'static str {
        MOOD
    }

    fn moods(&self) -> Vec<String> {
        self.comments.moods().collect()
    }

    fn edits(&self, content: &Content<'_>, moods: &[String]) -> Result<Vec<Edit>> {
        let (bytes, next) = self.laid(&self.packet(moods)?);
        let (first, others) = self.pages.split_first().expect("the packet lies on pages");
        let mut edits = vec![Edit { range: first.at..first.end(), bytes }];
        edits.extend(others.iter().map(|page| Edit::remove(page.at..page.end())));
        let last = others.last().unwrap_or(first).number;
        let shift = next.wrapping_sub(last.wrapping_add(1));
        if shift != 0 {
            for run in &self.after {
                if let Run::Own(page) = run {
                    edits.push(page.renumber(content, page.number.wrapping_add(shift))?);
                }
            }
        }
        Ok(edits)
    }

    fn rest(&self) -> Vec<Part> {
        let mut rest = self.before.clone();
        rest.push(Part::value(match self.codec {
            // A length follows.
            Codec::Flac => &self.packet[..1],
            _ => &[],
        }));
        rest.extend(self.comments.rest().into_iter().map(Part::value));
        let mut number = self.pages.last().expect("the packet lies on pages").number;
        if let Some((page, body)) = &self.behind {
            let [header, _] = page.rest(1);
            rest.extend([header, Part::value(body)]);
        }
        for run in &self.after {
            match run {
                Run::Own(page) => {
                    rest.extend(page.rest(page.number.wrapping_sub(number)));
                    number = page.number;
                }
                Run::Foreign(range) => rest.push(Part::Kept(range.clone())),
            }
        }
        rest
    }
}
