//! The streams of an Ogg file, one after another (a *chain*, as recorders of radio stations and
//! joined files have it), and whether their clocks tell the truth.
//!
//! Every page says the frames of its stream up to its end (its granule position). That is where a
//! damaged file claims years of music, and so it is held against what its packets can hold.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, ErrorKind, Read, Result, Seek, SeekFrom};
use std::ops::Range;

use super::opus;

/// How a page begins: its mark and its version.
pub const MARKED: &[u8] = b"OggS\0";
/// Bytes of a page in front of the lengths of its segments.
pub const HEADER: usize = 27;
/// The length of a segment that its packet goes on after.
pub const FULL: u8 = 255;
/// Flags of a page: it begins within a packet, is its stream's first, or last.
pub const GOES_ON: u8 = 1;
pub const FIRST: u8 = 2;
const LAST: u8 = 4;
/// The granule position of a page on which no packet ends.
const NO_PACKET: i64 = -1;
/// Bytes of a stream's first packet that say what is needed here.
const MARK: usize = 32;
/// Packets that may stand in front of the music.
const MOST_HEADERS: i64 = 64;
/// The most frames of a block of FLAC whose description does not say it.
const MOST_FRAMES: i64 = 65_535;

/// A stream of music, or several that belong together, with nothing before it and nothing behind.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    pub bytes: Range<u64>,
    /// The positions go back, or further than the packets do: only the packets can be counted.
    pub clock_lies: bool,
    /// They go on otherwise than most packets of the codec: its packets have to be asked.
    pub clock_may_lie: bool,
    /// It has a stream of a codec that is decoded.
    pub is_read: bool,
    /// Whole pages of more than headers.
    pub pages_of_sound: usize,
    /// Pages of further streams of sound beside the first, which is heard.
    pub beside: Vec<Range<u64>>,
}

/// The links of the file that begins at `start`, in order. Bytes that are no page are passed over.
pub fn links(file: &File, start: u64) -> Result<Vec<Link>> {
    let reader = BufReader::with_capacity(1 << 16, file);
    let mut pages = Pages { reader, len: file.metadata()?.len(), at: start, before: start };
    pages.reader.seek(SeekFrom::Start(start))?;
    let mut links: Vec<Link> = Vec::new();
    // The stream of the link that is heard.
    let mut heard: Option<(u32, Clock)> = None;
    let mut beside: HashSet<u32> = HashSet::new();
    let mut in_front = false; // of all pages but the first of each stream
    let mut last_end = None; // of a page of sound
    while let Some(page) = pages.next()? {
        if let Some(link) = links.last_mut()
            && last_end.is_some_and(|end| end > page.bytes.start)
        {
            // It was cut, and claims some of what follows it.
            link.bytes.end = page.bytes.start;
            link.pages_of_sound -= 1;
        }
        if let Some(pages) = links.last_mut().and_then(|link| link.beside.last_mut()) {
            // So may one of these have been cut.
            pages.end = pages.end.min(page.bytes.start);
        }
        if page.flags & FIRST != 0 {
            if !in_front {
                links.push(Link {
                    bytes: page.bytes.clone(),
                    clock_lies: false,
                    clock_may_lie: false,
                    is_read: false,
                    pages_of_sound: 0,
                    beside: Vec::new(),
                });
                heard = None;
                beside.clear();
            }
            match (Clock::of(&page.mark), links.last_mut()) {
                (Some(_), Some(link)) if link.is_read => {
                    let is_another =
                        heard.as_ref().is_none_or(|(serial, _)| *serial != page.serial);
                    beside.extend(is_another.then_some(page.serial));
                }
                (Some(clock), Some(link)) => {
                    link.is_read = true;
                    heard = Some((page.serial, clock));
                }
                _ => {}
            }
        }
        in_front = page.flags & FIRST != 0;
        // Pages in front of the first stream are the rest of one that was cut.
        let Some(link) = links.last_mut() else { continue };
        link.bytes.end = page.bytes.end;
        if beside.contains(&page.serial) {
            match link.beside.last_mut().filter(|last| last.end == page.bytes.start) {
                Some(last) => last.end = page.bytes.end,
                None => link.beside.push(page.bytes.clone()),
            }
            continue;
        }
        let of_sound = page.granule > 0 && page.bytes.end <= pages.len;
        link.pages_of_sound += usize::from(of_sound);
        last_end = of_sound.then_some(page.bytes.end);
        if let Some((_, clock)) = heard.as_mut().filter(|(serial, _)| *serial == page.serial) {
            clock.advance(&page);
            link.clock_lies |= clock.lies();
            link.clock_may_lie = clock.may_lie();
        }
    }
    Ok(links)
}

/// What is known of a stream's positions.
struct Clock {
    most_frames: i64,
    /// Position and number of the last page on which a packet ended.
    last: Option<(i64, u32)>,
    /// Frames that the packets have, and that pages which are not there had.
    held: i64,
    missing: i64,
    wrong: bool,
    /// Frames that they would have if all were of the usual length, and packets that end at position 0.
    usual: i64,
    at_zero: i64,
    is_opus: bool,
}

impl Clock {
    /// By the stream's first packet. None where positions are not frames, or not those of a codec
    /// that is decoded.
    fn of(mark: &[u8; MARK]) -> Option<Self> {
        let most_frames = if mark.starts_with(b"\x01vorbis") {
            // Two blocks overlap by a half.
            (1 << (mark[28] >> 4)) / 2
        } else if mark.starts_with(b"\x7fFLAC") {
            match u16::from_be_bytes([mark[19], mark[20]]) {
                0 => MOST_FRAMES,
                most => most.into(),
            }
        } else if mark.starts_with(b"OpusHead") {
            opus::MOST_FRAMES
        } else {
            return None;
        };
        let is_opus = mark.starts_with(b"OpusHead");
        Some(Self {
            most_frames,
            last: None,
            held: 0,
            missing: 0,
            wrong: false,
            usual: 0,
            at_zero: 0,
            is_opus,
        })
    }

    fn advance(&mut self, page: &Page) {
        if page.granule == NO_PACKET || page.packets == 0 {
            return;
        }
        self.at_zero += if page.granule == 0 { page.packets } else { 0 };
        // Headers stand at 0, and the music may begin anywhere.
        if let Some((position, number)) = self.last.filter(|(position, _)| *position != 0) {
            let step = page.granule.saturating_sub(position);
            let most = page.packets * self.most_frames;
            let lost_pages = page.number.wrapping_sub(number) > 1;
            self.held = self.held.saturating_add(step.clamp(0, most));
            // Of Vorbis and FLAC nearly all packets have the most frames, of Opus most have those of the
            // page's first.
            let usual = match self.is_opus {
                true if page.flags & GOES_ON == 0 => opus::frames_of(&page.mark),
                true => None,
                false => Some(self.most_frames),
            };
            let usual =
                usual.map_or(step.clamp(0, most), |usual| page.packets.saturating_mul(usual));
            self.usual = self.usual.saturating_add(usual);
            if step > most && lost_pages {
                self.missing = self.missing.saturating_add(step - most);
            } else {
                // What an encoder added may be cut off at the end.
                self.wrong |= step > most || step < 0 && page.flags & LAST == 0;
            }
        }
        self.last = Some((page.granule, page.number));
    }

    /// Positions that are a quarter too small or too large leave packets out, or put silence between
    /// them; and so do zeros.
    fn may_lie(&self) -> bool {
        let small = self.held < self.usual - self.usual / 4;
        let large = self.is_opus && self.missing == 0 && self.held > self.usual + self.usual / 4;
        small || large || self.at_zero > MOST_HEADERS
    }

    /// More may be missing than there is only where the positions are wrong.
    fn lies(&self) -> bool {
        self.wrong || self.missing > self.held
    }
}

struct Page {
    bytes: Range<u64>,
    flags: u8,
    granule: i64,
    serial: u32,
    number: u32,
    /// How many packets end on it.
    packets: i64,
    /// How its content begins.
    mark: [u8; MARK],
}

struct Pages<'a> {
    reader: BufReader<&'a File>,
    len: u64,
    at: u64,
    /// From where on the next page is looked for if none stands here: behind the mark of the last,
    /// which may have been cut.
    before: u64,
}

impl Pages<'_> {
    /// The next whole page; none where the file ends before.
    fn next(&mut self) -> Result<Option<Page>> {
        let mut header = [0; HEADER];
        let whole = self.fill(&mut header)?;
        if !whole && self.at <= self.len {
            return Ok(None);
        }
        if !whole || !header.starts_with(MARKED) && self.before < self.at {
            self.at = self.before;
            self.reader.seek(SeekFrom::Start(self.at))?;
            if !self.fill(&mut header)? {
                return Ok(None);
            }
        }
        while !header.starts_with(MARKED) {
            header.rotate_left(1);
            if !self.fill(&mut header[HEADER - 1..])? {
                return Ok(None);
            }
            self.at += 1;
        }
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().unwrap());
        let mut lacing = [0; FULL as usize];
        let lacing = &mut lacing[..header[26].into()];
        let mut mark = [0; MARK];
        if !self.fill(lacing)? {
            return Ok(None);
        }
        let length: u64 = lacing.iter().map(|&length| u64::from(length)).sum();
        let shown = length.min(MARK as u64);
        if !self.fill(&mut mark[..shown as usize])? {
            return Ok(None);
        }
        self.reader.seek_relative((length - shown) as i64)?;
        let end = self.at + (HEADER + lacing.len()) as u64 + length;
        let page = Page {
            bytes: self.at..end,
            flags: header[5],
            granule: i64::from_le_bytes(header[6..14].try_into().unwrap()),
            serial: number(14),
            number: number(18),
            packets: lacing.iter().filter(|&&length| length < FULL).count() as i64,
            mark,
        };
        self.before = self.at + MARKED.len() as u64;
        self.at = end;
        Ok(Some(page))
    }

    /// False where the file ends.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<bool> {
        match self.reader.read_exact(bytes) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(error),
        }
    }
}
