//! ID3v2 in its versions 2.2, 2.3 and 2.4.
//!
//! A tag is a header of ten bytes (`ID3`, version, revision, flags, length), frames, and padding of
//! zeros. A frame is its identifier, its length, two bytes of flags (not in 2.2), and its content.
//! Lengths of tags, and in 2.4 of frames, have seven bits a byte. *Unsynchronised* means that a zero
//! follows every 0xff that could be taken for the begin of an MPEG frame: up to 2.3 in all of the
//! tag, whose frames then count without those zeros, in 2.4 inside the contents of frames.

use std::ops::Range;

use super::content::{Content, Edit, length};
use super::{Container, MOOD, NOT_TEXT, Part, SEPARATOR};
use crate::{Error, Result};

/// Bytes of a tag's header, and of its footer.
const HEADER: u64 = 10;
/// The largest length of a tag.
const LONGEST: u64 = (1 << 28) - 1;

/// Flags of the header.
const UNSYNCHRONISED: u8 = 0x80;
const EXTENDED: u8 = 0x40;
const EXPERIMENTAL: u8 = 0x20;
const FOOTER: u8 = 0x10;

/// Flags of a frame's content in 2.4.
const GROUPED: u8 = 0x40;
const FRAME_UNSYNCHRONISED: u8 = 0x02;
const LENGTH_INDICATOR: u8 = 0x01;
/// The same of 2.3.
const GROUPED_V3: u8 = 0x20;

/// How texts are coded.
const LATIN_1: u8 = 0;
const UTF_16: u8 = 1;
const UTF_16_BIG: u8 = 2;
const UTF_8: u8 = 3;

/// 2.4's frame for moods.
const TMOO: &str = "TMOO";

/// A tag, taken apart.
pub struct Tag {
    version: u8,
    header: [u8; 10],
    /// The bytes of the content, with header and footer.
    pub range: Range<u64>,
    /// The header behind the header.
    extended: Range<u64>,
    frames: Vec<Frame>,
    padding: Range<u64>,
    /// The lengths of frames have seven bits a byte.
    sparse: bool,
}

struct Frame {
    /// The bytes of the content, with its header.
    range: Range<u64>,
    /// What it names if it is about moods.
    moods: Option<Vec<String>>,
}

impl Tag {
    /// The tag that begins at `at`, if one does, and ends before `limit`.
    ///
    /// # Errors
    /// Its parts cannot be told apart with certainty.
    pub fn parse(content: &Content<'_>, at: u64, limit: u64) -> Result<Option<Self>> {
        let header = content.read_to(at..limit.min(at + HEADER))?;
        let Ok(header) = <[u8; 10]>::try_from(header) else { return Ok(None) };
        let [b'I', b'D', b'3', version, _, flags, size @ ..] = header else { return Ok(None) };
        let known = match version {
            2 => UNSYNCHRONISED,
            3 => UNSYNCHRONISED | EXTENDED | EXPERIMENTAL,
            4 => UNSYNCHRONISED | EXTENDED | EXPERIMENTAL | FOOTER,
            _ => {
                return Err(Error::input(format!(
                    "its tag is of an unknown ID3 version 2.{version}"
                )));
            }
        };
        if flags & !known != 0 {
            return Err(Error::input("its ID3 tag has flags that the standard does not know"));
        }
        let size = sevens(size).ok_or_else(|| Error::input("its ID3 tag has no valid length"))?;
        let body = at + HEADER..at + HEADER + u64::from(size);
        let footer = if flags & FOOTER != 0 { HEADER } else { 0 };
        let range = at..body.end + footer;
        if range.end > limit {
            return Err(Error::input("its ID3 tag is longer than what holds it"));
        }
        let bytes = content.read(body.clone())?;
        let whole = flags & UNSYNCHRONISED != 0 && version < 4;
        // Where each byte stands in the file, since the zeros that are left out are bytes of it too.
        let (bytes, places) = if whole { synchronise(&bytes) } else { (bytes, Vec::new()) };
        let place = |at: usize| match whole {
            true => body.start + places.get(at).map_or(size.into(), |&place| u64::from(place)),
            false => body.start + at as u64,
        };
        let begin = if flags & EXTENDED != 0 { extended_header(version, &bytes)? } else { 0 };
        let (sparse, frames, padding) = [true, false]
            .into_iter()
            .filter(|sparse| !sparse || version == 4)
            // Some programs write 2.4 with lengths of eight bits a byte.
            .find_map(|sparse| {
                let (frames, padding) = frames(version, sparse, &bytes, begin)?;
                Some((sparse, frames, padding))
            })
            .ok_or_else(|| Error::input("the frames of its ID3 tag do not fill it"))?;
        let all = version == 4 && flags & UNSYNCHRONISED != 0;
        let frames = frames
            .into_iter()
            .map(|frame| {
                let moods = frame_moods(version, all, &bytes[frame.clone()])?;
                Ok(Frame { range: place(frame.start)..place(frame.end), moods })
            })
            .collect::<Result<_>>()?;
        Ok(Some(Self {
            version,
            header,
            range,
            extended: body.start..place(begin),
            frames,
            padding: place(padding)..body.end,
            sparse,
        }))
    }

    /// A new tag that names `moods` and nothing else.
    pub fn naming(moods: &[String]) -> Result<Vec<u8>> {
        let frame = frame(4, true, moods)?;
        Ok([b"ID3\x04\0\0", &to_sevens(frame.len() as u32)[..], &frame].concat())
    }

    /// What a new tag calls the field.
    pub const NEW_FIELD: &str = TMOO;

    /// 2.2 and 2.3 have no frame for moods; a tag keeps its version, since some players read no
    /// other.
    pub fn field(&self) -> &'static str {
        match self.version {
            2 => "TXX:MOOD",
            3 => "TXXX:MOOD",
            _ => TMOO,
        }
    }

    pub fn moods(&self) -> impl Iterator<Item = &String> {
        self.frames.iter().filter_map(|frame| frame.moods.as_ref()).flatten()
    }

    /// Names `moods` behind all other frames, in place of those that it names.
    ///
    /// # Errors
    /// The tag would be too long.
    pub fn edits(&self, moods: &[String]) -> Result<Vec<Edit>> {
        let old = self.frames.iter().filter(|frame| frame.moods.is_some());
        let mut edits: Vec<_> = old.map(|frame| Edit::remove(frame.range.clone())).collect();
        if !moods.is_empty() {
            let mut new = frame(self.version, self.sparse, moods)?;
            if self.header[5] & UNSYNCHRONISED != 0 && self.version < 4 {
                new = unsynchronise(&new);
            }
            edits.push(Edit::insert(self.padding.start, new));
        }
        if edits.is_empty() {
            return Ok(edits);
        }
        let body = self.range.start + HEADER..self.padding.end;
        let size = length(&body).saturating_add_signed(Edit::growth(&edits));
        if size > LONGEST {
            return Err(Error::input("its ID3 tag would be longer than the standard allows"));
        }
        let size = to_sevens(size as u32);
        edits.push(Edit { range: body.start - 4..body.start, bytes: size.to_vec() });
        if self.header[5] & FOOTER != 0 {
            let at = self.range.end - 4;
            edits.push(Edit { range: at..at + 4, bytes: size.to_vec() });
        }
        Ok(edits)
    }

    /// All but the moods and the tag's length; nothing where there is nothing else.
    pub fn rest(&self) -> Vec<Part> {
        let others = self.frames.iter().filter(|frame| frame.moods.is_none());
        let kept = [self.extended.clone()]
            .into_iter()
            .chain(others.map(|frame| frame.range.clone()))
            .chain([self.padding.clone()])
            .filter(|range| !range.is_empty());
        let mut rest: Vec<Part> = kept.map(Part::Kept).collect();
        if !rest.is_empty() {
            rest.insert(0, Part::value(&self.header[..6]));
        }
        rest
    }
}

/// Where the frames begin.
fn extended_header(version: u8, bytes: &[u8]) -> Result<usize> {
    let refused = |what: &str| Error::input(format!("its ID3 tag has {what}"));
    let broken = || refused("an extended header that is broken");
    let &size = bytes.first_chunk::<4>().ok_or_else(broken)?;
    let (end, flags) = match version {
        // Without the length itself; the first flag is a checksum of the frames.
        3 => (
            u32::from_be_bytes(size).checked_add(4).ok_or_else(broken)?,
            *bytes.get(4).ok_or_else(broken)? & 0x80,
        ),
        // A checksum and restrictions of what the tag may hold; an update has no content.
        _ => (sevens(size).ok_or_else(broken)?, *bytes.get(5).ok_or_else(broken)? & !0x40),
    };
    if flags != 0 {
        return Err(refused("a checksum or restrictions, which a change would break"));
    }
    match end >= 6 && end as usize <= bytes.len() {
        true => Ok(end as usize),
        false => Err(broken()),
    }
}

/// The frames from `at` on, and where the padding begins; `None` where they do not fill the tag.
fn frames(
    version: u8,
    sparse: bool,
    bytes: &[u8],
    mut at: usize,
) -> Option<(Vec<Range<usize>>, usize)> {
    let mut frames = Vec::new();
    while bytes[at..].first().is_some_and(|&byte| byte != 0) {
        let (head, size) = match version {
            2 => {
                let [_, _, _, size @ ..] = bytes[at..].first_chunk::<6>()?;
                (6, u32::from_be_bytes([0, size[0], size[1], size[2]]))
            }
            _ => {
                let [_, _, _, _, size @ .., _, _] = *bytes[at..].first_chunk::<10>()?;
                (10, if sparse { sevens(size)? } else { u32::from_be_bytes(size) })
            }
        };
        let named = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        // Frames of 2.2 with three letters are found in later tags.
        let last = bytes[at + 3];
        if !bytes[at..at + 3].iter().all(named)
            || version > 2 && !(named(&last) || last == 0 || last == b' ')
        {
            return None;
        }
        let end = (at + head).checked_add(size as usize).filter(|&end| end <= bytes.len())?;
        frames.push(at..end);
        at = end;
    }
    // Anything but zeros could be a frame that is not where it was looked for.
    bytes[at..].iter().all(|&byte| byte == 0).then_some((frames, at))
}

/// What the frame says of moods, if it is about them.
fn frame_moods(version: u8, unsynchronised: bool, frame: &[u8]) -> Result<Option<Vec<String>>> {
    let (id, content) = match version {
        2 => (&frame[..3], &frame[6..]),
        _ => (&frame[..4], &frame[10..]),
    };
    let own = id == TMOO.as_bytes();
    if !own && id != b"TXXX" && id != b"TXX" {
        return Ok(None);
    }
    let Some(content) = plain(version, unsynchronised, frame, content) else {
        return match own {
            true => Err(Error::input("its moods are compressed or encrypted")),
            false => Err(Error::input(
                "a text of its own name (TXXX) is compressed or encrypted, and may be moods",
            )),
        };
    };
    let mut texts = texts(&content).into_iter();
    let of_moods = |name: &String| name.eq_ignore_ascii_case(MOOD);
    if !own && !texts.next().flatten().as_ref().is_some_and(of_moods) {
        return Ok(None);
    }
    let texts: Vec<String> = texts.collect::<Option<_>>().ok_or_else(|| Error::input(NOT_TEXT))?;
    let moods = texts.iter().flat_map(|text| text.split(SEPARATOR));
    Ok(Some(moods.filter(|mood| !mood.is_empty()).map(str::to_owned).collect()))
}

/// The content of a frame without what its flags add; `None` where it is compressed or encrypted.
fn plain(version: u8, unsynchronised: bool, frame: &[u8], content: &[u8]) -> Option<Vec<u8>> {
    let flags = if version == 2 { 0 } else { frame[9] };
    let (grouped, indicator) = match version {
        4 => (flags & GROUPED != 0, flags & LENGTH_INDICATOR != 0),
        _ => (flags & GROUPED_V3 != 0, false),
    };
    let plain = match version {
        4 => GROUPED | FRAME_UNSYNCHRONISED | LENGTH_INDICATOR,
        _ => GROUPED_V3,
    };
    if flags & !plain != 0 {
        return None;
    }
    let content = content.get(usize::from(grouped) + 4 * usize::from(indicator)..)?;
    let unsynchronised = version == 4 && (unsynchronised || flags & FRAME_UNSYNCHRONISED != 0);
    Some(if unsynchronised { synchronise(content).0 } else { content.to_vec() })
}

/// The texts of a frame, which zeros separate; none for one that its coding does not allow.
fn texts(content: &[u8]) -> Vec<Option<String>> {
    let Some((&coding, bytes)) = content.split_first() else { return Vec::new() };
    match coding {
        UTF_16 | UTF_16_BIG => {
            let mut big = coding == UTF_16_BIG;
            let units: Vec<[u8; 2]> =
                bytes.chunks_exact(2).map(|unit| [unit[0], unit[1]]).collect();
            let text = |units: &[[u8; 2]]| {
                let marked = match units.first() {
                    Some([0xff, 0xfe]) => Some(false),
                    Some([0xfe, 0xff]) => Some(true),
                    _ => None,
                };
                big = marked.unwrap_or(big);
                let units = units[usize::from(marked.is_some())..].iter();
                let units = units.map(|&unit| match big {
                    true => u16::from_be_bytes(unit),
                    false => u16::from_le_bytes(unit),
                });
                String::from_utf16(&units.collect::<Vec<_>>()).ok()
            };
            units.split(|unit| *unit == [0, 0]).map(text).collect()
        }
        LATIN_1 => bytes
            .split(|&byte| byte == 0)
            .map(|text| Some(text.iter().copied().map(char::from).collect()))
            .collect(),
        _ => bytes
            .split(|&byte| byte == 0)
            .map(|text| str::from_utf8(text).ok().map(str::to_owned))
            .collect(),
    }
}

/// The frame that names `moods`.
fn frame(version: u8, sparse: bool, moods: &[String]) -> Result<Vec<u8>> {
    let utf_16 = |text: &str| -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect()
    };
    let content = match version {
        4 => [&[UTF_8][..], moods.join("\0").as_bytes()].concat(),
        _ => [&[UTF_16][..], &utf_16(MOOD), &[0, 0], &utf_16(&moods.join(SEPARATOR))].concat(),
    };
    let size = content.len() as u32;
    if u64::from(size) > LONGEST || version == 2 && size >= 1 << 24 {
        return Err(Error::input("its moods are longer than ID3 allows"));
    }
    Ok(match version {
        2 => [b"TXX", &size.to_be_bytes()[1..], &content].concat(),
        3 => [b"TXXX", &size.to_be_bytes()[..], &[0, 0], &content].concat(),
        _ => {
            let size = if sparse { to_sevens(size) } else { size.to_be_bytes() };
            [TMOO.as_bytes(), &size, &[0, 0], &content].concat()
        }
    })
}

/// A number of seven bits a byte; `None` where a byte has the eighth.
fn sevens(bytes: [u8; 4]) -> Option<u32> {
    let valid = bytes.iter().all(|byte| byte & 0x80 == 0);
    valid.then(|| bytes.iter().fold(0, |sum, &byte| sum << 7 | u32::from(byte)))
}

fn to_sevens(number: u32) -> [u8; 4] {
    [21, 14, 7, 0].map(|shift| (number >> shift & 0x7f) as u8)
}

/// `bytes` without the zero behind every 0xff, and where each stood.
fn synchronise(bytes: &[u8]) -> (Vec<u8>, Vec<u32>) {
    let kept = (0..bytes.len()).filter(|&at| at == 0 || bytes[at] != 0 || bytes[at - 1] != 0xff);
    kept.map(|at| (bytes[at], at as u32)).unzip()
}

fn unsynchronise(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        out.push(byte);
        if byte == 0xff && bytes.get(at + 1).is_none_or(|&next| next == 0 || next >= 0xe0) {
            out.push(0);
        }
    }
    out
}

/// A stream of frames (MP3, AAC) with ID3v2 tags in front of it.
pub struct Stream {
    tags: Vec<Tag>,
    len: u64,
}

impl Stream {
    /// # Errors
    /// As [`Tag::parse`].
    pub fn parse(content: &Content<'_>) -> Result<Self> {
        let (mut tags, mut at) = (Vec::new(), 0);
        while let Some(tag) = Tag::parse(content, at, content.len())? {
            at = tag.range.end;
            tags.push(tag);
        }
        Ok(Self { tags, len: content.len() })
    }
}

impl Container for Stream {
    fn field(&self) -> &'static str {
        self.tags.first().map_or(Tag::NEW_FIELD, Tag::field)
    }

    fn moods(&self) -> Vec<String> {
        self.tags.iter().flat_map(Tag::moods).cloned().collect()
    }

    /// The first tag names them, and no other.
    fn edits(&self, _: &Content<'_>, moods: &[String]) -> Result<Vec<Edit>> {
        let Some((first, others)) = self.tags.split_first() else {
            return Ok(vec![Edit::insert(0, Tag::naming(moods)?)]);
        };
        let mut edits = first.edits(moods)?;
        for other in others {
            edits.extend(other.edits(&[])?);
        }
        Ok(edits)
    }

    fn rest(&self) -> Vec<Part> {
        let sound = self.tags.last().map_or(0, |tag| tag.range.end);
        let tags = self.tags.iter().flat_map(Tag::rest);
        tags.chain([Part::Kept(sound..self.len)]).collect()
    }
}
