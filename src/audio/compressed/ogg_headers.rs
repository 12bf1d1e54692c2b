//! An Ogg file without what its demultiplexer stumbles over.
//!
//! Symphonia gives a file up for comments of Opus and pictures of FLAC whose lengths are wrong, and passes
//! over blocks of FLAC that are larger than its description says. Only the pages of headers in which that
//! stands are shown otherwise.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::ops::Range;

use super::flac::{DESCRIPTION, Header, LAST, PADDING, UNUSED};
use super::ogg::{FIRST, FULL, GOES_ON, HEADER, MARKED};
use super::source::Source;

/// Where a page's header has its flags, the serial number of its stream, and its checksum.
const FLAGS: usize = 5;
const SERIAL: Range<usize> = 14..18;
const CHECKSUM: Range<usize> = 22..26;
/// Pages in which headers are looked for: large pictures take hundreds.
const MOST_PAGES: usize = 1 << 12;

/// Comments of Opus, of a maker without a name: none.
const NO_COMMENTS: [u8; 16] = *b"OpusTags\0\0\0\0\0\0\0\0";
/// Where a description of FLAC stands in its stream's first packet.
const DESCRIBED: Range<usize> = 17..17 + DESCRIPTION;

/// Streams whose headers have not all been seen.
enum Headers {
    Opus,
    /// The page with the description.
    Flac(Page),
}

struct Page {
    /// In the file.
    bytes: Range<u64>,
    header: [u8; HEADER],
    lengths: Vec<u8>,
    body: Vec<u8>,
}

impl Page {
    /// None where no whole page stands.
    fn read(file: &mut File, at: u64) -> Result<Option<Self>> {
        let mut begin = Vec::new();
        file.seek(SeekFrom::Start(at))?;
        file.take((HEADER + usize::from(FULL)) as u64).read_to_end(&mut begin)?;
        let Some(&header) = begin.first_chunk::<HEADER>() else { return Ok(None) };
        let lengths = begin.get(HEADER..HEADER + usize::from(header[HEADER - 1]));
        let Some(lengths) = lengths.filter(|_| header.starts_with(MARKED)) else { return Ok(None) };
        let length: u64 = lengths.iter().map(|&length| u64::from(length)).sum();
        let start = at + (HEADER + lengths.len()) as u64;
        let mut body = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        file.take(length).read_to_end(&mut body)?;
        let whole = body.len() as u64 == length;
        let bytes = at..start + length;
        Ok(whole.then(|| Self { bytes, header, lengths: lengths.to_vec(), body }))
    }

    fn serial(&self) -> [u8; 4] {
        self.header[SERIAL].try_into().expect("four bytes")
    }

    fn is_first(&self) -> bool {
        self.header[FLAGS] & FIRST != 0
    }

    /// For each packet that begins on the page, the number of its first segment, and its place in the body.
    fn begins(&self) -> Vec<(usize, usize)> {
        let mut in_packet = self.header[FLAGS] & GOES_ON != 0;
        let (mut begins, mut at) = (Vec::new(), 0);
        for (number, &length) in self.lengths.iter().enumerate() {
            if !in_packet {
                begins.push((number, at));
            }
            in_packet = length == FULL;
            at += usize::from(length);
        }
        begins
    }

    /// As it stands in a file, with a checksum that is right.
    fn shown(mut self) -> (Range<u64>, Vec<u8>) {
        self.header[CHECKSUM].fill(0);
        let mut shown = [&self.header[..], &self.lengths, &self.body].concat();
        let sum = checksum(shown.iter().copied());
        shown[CHECKSUM].copy_from_slice(&sum.to_le_bytes());
        (self.bytes, shown)
    }
}

/// The streams in `bytes` of the file, which begin with a page, without those whose pages are `beside`: of two
/// streams of sound the demultiplexer may not find its way out.
pub fn source(mut file: File, bytes: Range<u64>, beside: &[Range<u64>]) -> Result<Source> {
    let mut changed = changed_pages(&mut file, bytes.clone())?;
    changed.retain(|(place, _)| {
        let before = beside.partition_point(|pages| pages.start <= place.start);
        beside[..before].last().is_none_or(|pages| pages.end <= place.start)
    });
    changed.extend(beside.iter().map(|pages| (pages.clone(), Vec::new())));
    changed.sort_by_key(|(place, _)| place.start);
    let (mut source, mut at) = (Source::new(file), bytes.start);
    for (place, shown) in changed {
        source = source.with_stretch(at..place.start).with_bytes(shown);
        at = place.end;
    }
    Ok(source.with_stretch(at..bytes.end.max(at)))
}

fn changed_pages(file: &mut File, bytes: Range<u64>) -> Result<Vec<(Range<u64>, Vec<u8>)>> {
    let mut changed = Vec::new();
    let mut streams: HashMap<[u8; 4], Headers> = HashMap::new();
    let mut at = bytes.start;
    for _ in 0..MOST_PAGES {
        let Some(mut page) = Page::read(file, at)? else { break };
        at = page.bytes.end;
        if at > bytes.end || streams.is_empty() && !page.is_first() {
            break;
        }
        let serial = page.serial();
        if page.is_first() {
            if page.body.starts_with(b"OpusHead") {
                streams.insert(serial, Headers::Opus);
            } else if page.body.starts_with(b"\x7fFLAC") && page.body.len() >= DESCRIBED.end {
                streams.insert(serial, Headers::Flac(page));
            }
            continue;
        }
        let is_changed = match streams.remove(&serial) {
            None => false,
            Some(Headers::Opus) => {
                let is_changed = without_comments(&mut page);
                if !is_changed {
                    streams.insert(serial, Headers::Opus);
                }
                is_changed
            }
            Some(Headers::Flac(description)) => {
                let (is_changed, frame) = without_blocks(&mut page);
                match frame {
                    None => drop(streams.insert(serial, Headers::Flac(description))),
                    Some(frame) => changed.extend(corrected(description, &frame).map(Page::shown)),
                }
                is_changed
            }
        };
        if is_changed {
            changed.push(page.shown());
        }
    }
    Ok(changed)
}

/// Leaves the comments of Opus away that begin on the page; what was behind their beginning is padding.
fn without_comments(page: &mut Page) -> bool {
    let mark = &NO_COMMENTS[..8];
    let mut begins = page.begins().into_iter();
    let Some((number, at)) = begins.find(|&(_, at)| page.body[at..].starts_with(mark)) else {
        return false;
    };
    let held = usize::from(page.lengths[number]).min(NO_COMMENTS.len());
    page.lengths[number] = page.lengths[number].max(NO_COMMENTS.len() as u8);
    page.body.splice(at..at + held, NO_COMMENTS);
    true
}

/// Shows the blocks of metadata of FLAC that begin on the page, and that no decoder needs, as padding.
/// Returns whether there are any, and the first frame that begins on the page.
fn without_blocks(page: &mut Page) -> (bool, Option<Header>) {
    let mut is_changed = false;
    for (_, at) in page.begins() {
        if let Some(frame) = Header::parse(&page.body[at..]) {
            return (is_changed, Some(frame));
        }
        if let Some(kind) = page.body.get_mut(at)
            && UNUSED.contains(&(*kind & !LAST))
        {
            *kind = *kind & LAST | PADDING;
            is_changed = true;
        }
    }
    (is_changed, None)
}

/// The page with a description of FLAC, if that has to say other block sizes.
fn corrected(mut page: Page, first: &Header) -> Option<Page> {
    let description = page.body[DESCRIBED].try_into().expect("all of it");
    if first.agrees(description) {
        return None;
    }
    let sizes = first.sizes();
    page.body[DESCRIBED][..sizes.len()].copy_from_slice(&sizes);
    Some(page)
}

/// The CRC-32 of Ogg's pages: of 0x04c11db7, the highest bit first, from zero.
pub fn checksum(bytes: impl Iterator<Item = u8>) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut index = 0;
        while index < 256 {
            let mut value = (index as u32) << 24;
            let mut bit = 0;
            while bit < 8 {
                value = (value << 1) ^ if value >> 31 == 1 { 0x04c1_1db7 } else { 0 };
                bit += 1;
            }
            table[index] = value;
            index += 1;
        }
        table
    };
    bytes.fold(0, |sum, byte| sum << 8 ^ TABLE[(sum >> 24) as usize ^ usize::from(byte)])
}
