//! The headers of MP3's and ADTS' frames, by which a stream without a header of its own is found
//! and followed.

use std::fs::File;
use std::io::{BufReader, Read, Result, Seek, SeekFrom};

/// Bytes of a header that are read here.
pub const HEADER: usize = 7;

/// Frames that have to follow one another where a stream is looked for: by chance, one header in
/// some thousand bytes looks right.
const CHAIN: usize = 4;

/// How far into a file a stream is looked for.
const SEARCHED: u64 = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// MPEG audio, layer III.
    Mp3,
    /// AAC in ADTS frames.
    Adts,
}

/// What is the same for all frames of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    pub codec: Codec,
    pub sample_rate: u32,
    /// 0 where the frame's content says it.
    pub channels: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    /// Samples of a channel that it decodes to.
    pub samples: u16,
    /// Of the frame with its header; 0 where only the next header tells (free-format MP3).
    pub bytes: u16,
}

impl Frame {
    /// The header that `bytes` begin with.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let [0xff, second, third, fourth, rest @ ..] = *bytes.first_chunk::<HEADER>()? else {
            return None;
        };
        match (second >> 5, second >> 1 & 3) {
            (7, 1) => Self::mp3(second, third, fourth),
            // Sixteen bits of which the highest twelve are set, and the layer is none.
            (7, 0) if second >> 4 & 1 == 1 => Self::adts(third, fourth, rest),
            _ => None,
        }
    }

    fn mp3(second: u8, third: u8, fourth: u8) -> Option<Self> {
        const FIRST: [u16; 15] = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
        const SECOND: [u16; 15] = [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        // Version 1, 2, or 2.5, which halves the rates once more.
        let (rates, bitrates, samples) = match second >> 3 & 3 {
            3 => ([44_100, 48_000, 32_000], FIRST, 1152),
            2 => ([22_050, 24_000, 16_000], SECOND, 576),
            0 => ([11_025, 12_000, 8_000], SECOND, 576),
            _ => return None,
        };
        let kbit = u32::from(*bitrates.get(usize::from(third >> 4))?);
        let sample_rate = *rates.get(usize::from(third >> 2 & 3))?;
        let padding = u32::from(third >> 1 & 1);
        let bytes = match kbit {
            0 => 0,
            kbit => samples / 8 * kbit * 1000 / sample_rate + padding,
        };
        let channels = if fourth >> 6 == 3 { 1 } else { 2 };
        let kind = Kind { codec: Codec::Mp3, sample_rate, channels };
        Some(Self { kind, samples: samples as u16, bytes: bytes as u16 })
    }

    fn adts(third: u8, fourth: u8, rest: [u8; 3]) -> Option<Self> {
        const RATES: [u32; 13] = [
            96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
            8_000, 7_350,
        ];
        let sample_rate = *RATES.get(usize::from(third >> 2 & 0xf))?;
        let channels = (third & 1) << 2 | fourth >> 6;
        let bytes = u16::from(fourth & 3) << 11 | u16::from(rest[0]) << 3 | u16::from(rest[1] >> 5);
        let kind = Kind { codec: Codec::Adts, sample_rate, channels };
        (usize::from(bytes) > HEADER).then_some(Self { kind, samples: 1024, bytes })
    }
}

/// The frames of a stream by their kinds, in the order of each kind's first.
pub struct Tally<K> {
    kinds: Vec<Tallied<K>>,
    /// The kind of the last frame, by its number, and how many of it there were in a row.
    last: usize,
    run: u64,
}

/// Of one kind, all frames and the most in a row.
pub struct Tallied<K> {
    pub kind: K,
    pub frames: u64,
    longest_run: u64,
}

/// Frames of another kind that make a stream one that changes, in a row or as a hundredth of it. A few are
/// damage that looks like a header.
const MANY: u64 = 8;

impl<K: Copy + PartialEq> Tally<K> {
    pub fn new() -> Self {
        Self { kinds: Vec::new(), last: 0, run: 0 }
    }

    /// Counts one more frame.
    pub fn add(&mut self, kind: K) {
        let number = self.kinds.iter().position(|known| known.kind == kind);
        let number = number.unwrap_or_else(|| {
            self.kinds.push(Tallied { kind, frames: 0, longest_run: 0 });
            self.kinds.len() - 1
        });
        self.run = if number == self.last { self.run + 1 } else { 1 };
        self.last = number;
        let tallied = &mut self.kinds[number];
        tallied.frames += 1;
        tallied.longest_run = tallied.longest_run.max(self.run);
    }

    /// The kind of the first frame.
    pub fn first(&self) -> Option<&Tallied<K>> {
        self.kinds.first()
    }

    /// A kind other than `usual` that is a part of the stream.
    pub fn other_than(&self, usual: K) -> Option<K> {
        let all: u64 = self.kinds.iter().map(|tallied| tallied.frames).sum();
        let is_part = |tallied: &&Tallied<K>| {
            let often = tallied.frames >= MANY && tallied.frames >= all / 100;
            tallied.kind != usual && (often || tallied.longest_run >= MANY)
        };
        self.kinds.iter().find(is_part).map(|tallied| tallied.kind)
    }
}

/// Where a stream begins, behind bytes that belong to no frame: padding that a program left, or the
/// rest of a frame that was cut. Looked for from `start` on, over some way.
pub fn find(file: &File, start: u64) -> Result<Option<(Codec, u64)>> {
    let mut bytes = Vec::new();
    let mut file = file;
    file.seek(SeekFrom::Start(start))?;
    file.take(SEARCHED).read_to_end(&mut bytes)?;
    let found = (0..bytes.len()).find_map(|at| {
        let codec = chain(&bytes[at..])?;
        Some((codec, start + at as u64))
    });
    Ok(found)
}

/// Whether frames of one kind follow one another from here on. A file may end before there are
/// enough.
fn chain(bytes: &[u8]) -> Option<Codec> {
    let first = Frame::parse(bytes).filter(|frame| frame.bytes > 0)?;
    let mut at = usize::from(first.bytes);
    for seen in 1..CHAIN {
        match Frame::parse(bytes.get(at..).unwrap_or_default()) {
            Some(frame) if frame.kind == first.kind && frame.bytes > 0 => {
                at += usize::from(frame.bytes);
            }
            _ => return (seen > 1 && at >= bytes.len()).then_some(first.kind.codec),
        }
    }
    Some(first.kind.codec)
}

/// The profile of AAC that the ADTS frame at `start` says: Main, LC, SSR or LTP.
pub fn adts_profile(file: &File, start: u64) -> Result<&'static str> {
    let mut header = [0; 3];
    let mut file = file;
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(&mut header)?;
    Ok(["Main", LOW_COMPLEXITY, "SSR", "LTP"][usize::from(header[2] >> 6)])
}

/// The profile that nearly all AAC has, and the one that is decoded.
pub const LOW_COMPLEXITY: &str = "LC";

/// The frames of a stream of ADTS frames.
pub fn adts_kinds(file: &File, start: u64) -> Result<Tally<Kind>> {
    let mut kinds = Tally::new();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    reader.seek(SeekFrom::Start(start))?;
    let mut header = [0; HEADER];
    let mut filled = 0;
    loop {
        match reader.read(&mut header[filled..])? {
            0 => return Ok(kinds),
            read => filled += read,
        }
        if filled < HEADER {
            continue;
        }
        match Frame::parse(&header).filter(|frame| frame.kind.codec == Codec::Adts) {
            Some(frame) => {
                kinds.add(frame.kind);
                reader.seek_relative(i64::from(frame.bytes) - HEADER as i64)?;
                filled = 0;
            }
            None => {
                header.rotate_left(1);
                filled -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_frames_are() {
        let mp3 = Frame::parse(&[0xff, 0xfb, 0x92, 0xc4, 0, 0, 0]).unwrap();
        let kind = Kind { codec: Codec::Mp3, sample_rate: 44_100, channels: 1 };
        assert_eq!(mp3, Frame { kind, samples: 1152, bytes: 418 });
        let adts = Frame::parse(&[0xff, 0xf1, 0x5c, 0x80, 0x2e, 0x7f, 0xfc]).unwrap();
        let kind = Kind { codec: Codec::Adts, sample_rate: 22_050, channels: 2 };
        assert_eq!(adts, Frame { kind, samples: 1024, bytes: 371 });
        for wrong in [
            [0xff, 0xeb, 0x92, 0, 0, 0, 0],    // the reserved version
            [0xff, 0xfb, 0xf2, 0, 0, 0, 0],    // a forbidden bit rate
            [0xff, 0xfb, 0x9e, 0, 0, 0, 0],    // the reserved sample rate
            [0xff, 0xf1, 0x5c, 0x80, 0, 0, 0], // shorter than its header
            [0xff, 0xfe, b'h', 0, b'i', 0, 0], // UTF-16
        ] {
            assert_eq!(Frame::parse(&wrong), None, "{wrong:02x?}");
        }
    }
}
