//! WAV (RIFF, RIFX, RF64) and AIFF: chunks, one of which may hold an ID3v2 tag.
//!
//! The file is an identifier, the length of what follows, and a form. A chunk is an identifier, its
//! length, its content, and a byte of padding if the length is odd. RF64 keeps lengths of more than
//! four bytes in its first chunk, `ds64`.

use std::ops::Range;

use super::content::{Content, Edit, length};
use super::id3::Tag;
use super::{Container, Part};
use crate::{Error, Result};

/// Stands in RF64 for a length that `ds64` tells.
const ELSEWHERE: u32 = u32::MAX;

struct Chunk {
    id: [u8; 4],
    /// The bytes of the content, without header and padding.
    range: Range<u64>,
    tag: Option<Tag>,
}

impl Chunk {
    fn padded_end(&self) -> u64 {
        self.range.end + self.range.end.wrapping_sub(self.range.start) % 2
    }
}

pub struct Chunks {
    start: u64,
    big_endian: bool,
    /// The lengths stand in `ds64`.
    wide: bool,
    /// Where the last chunk ends.
    end: u64,
    chunks: Vec<Chunk>,
    len: u64,
}

impl Chunks {
    /// The file whose identifier stands at `start`.
    ///
    /// # Errors
    /// A length leads behind the end.
    pub fn parse(content: &Content<'_>, start: u64) -> Result<Self> {
        let id = content.array::<4>(start)?;
        let big_endian = matches!(&id, b"FORM" | b"RIFX");
        let number = |at: u64| -> Result<u32> {
            let bytes = content.array(at)?;
            Ok(if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
        };
        let long = |at: u64| content.array(at).map(u64::from_le_bytes);
        let (wide, size, sound) = match (&id, number(start + 4)?) {
            (b"RF64" | b"BW64", ELSEWHERE) => {
                if content.array::<4>(start + 12)? != *b"ds64" || number(start + 16)? < 24 {
                    return Err(Error::input("its lengths do not stand in its first chunk"));
                }
                (true, long(start + 20)?, long(start + 28)?)
            }
            (_, size) => (false, size.into(), ELSEWHERE.into()),
        };
        let len = content.len();
        let end = start.saturating_add(8).saturating_add(size);
        // Some leave out the padding of the last chunk and count it.
        let end = if end == len + 1 { len } else { end };
        if end > len || size < 4 {
            return Err(Error::input(
                "its length is not what its header says (cut short, or never closed)",
            ));
        }
        let (mut chunks, mut at) = (Vec::new(), start + 12);
        while end.saturating_sub(at) >= 8 {
            let id = content.array::<4>(at)?;
            let size = match number(at + 4)? {
                ELSEWHERE if id == *b"data" => sound,
                size => size.into(),
            };
            let range = at + 8..(at + 8).saturating_add(size);
            if range.end > end {
                return Err(Error::input("a chunk is longer than the file"));
            }
            let tag = match id.eq_ignore_ascii_case(b"ID3 ") {
                true => Some(
                    Tag::parse(content, range.start, range.end)?
                        .ok_or_else(|| Error::input("its ID3 chunk holds no tag"))?,
                ),
                false => None,
            };
            let chunk = Chunk { id, range, tag };
            at = chunk.padded_end();
            chunks.push(chunk);
        }
        Ok(Self { start, big_endian, wide, end, chunks, len })
    }

    fn tags(&self) -> impl Iterator<Item = &Tag> {
        self.chunks.iter().filter_map(|chunk| chunk.tag.as_ref())
    }

    fn number(&self, number: u64) -> Result<Vec<u8>> {
        let number = u32::try_from(number)
            .ok()
            .filter(|&number| number != ELSEWHERE)
            .ok_or_else(|| Error::input("it would be longer than its format allows"))?;
        Ok(if self.big_endian { number.to_be_bytes() } else { number.to_le_bytes() }.to_vec())
    }
}

impl Container for Chunks {
    fn field(&self) -> &'static str {
        self.tags().next().map_or(Tag::NEW_FIELD, Tag::field)
    }

    fn moods(&self) -> Vec<String> {
        self.tags().flat_map(Tag::moods).cloned().collect()
    }

    /// The first tag names them; without one, a new chunk behind all others.
    fn edits(&self, _: &Content<'_>, moods: &[String]) -> Result<Vec<Edit>> {
        let (mut edits, mut named) = (Vec::new(), false);
        for chunk in &self.chunks {
            let Some(tag) = &chunk.tag else { continue };
            let changes = tag.edits(if named { &[] } else { moods })?;
            named = true;
            let size = length(&chunk.range).saturating_add_signed(Edit::growth(&changes));
            edits.extend(changes);
            let at = chunk.range.start - 4;
            edits.push(Edit { range: at..at + 4, bytes: self.number(size)? });
            // The last chunk may lack its padding.
            let padding = chunk.range.end..chunk.padded_end().min(self.end);
            edits.push(Edit { range: padding, bytes: vec![0; (size % 2) as usize] });
        }
        if !named {
            let tag = Tag::naming(moods)?;
            let first = self.start + 12;
            let (end, padded) =
                self.chunks.last().map_or((first, first), |it| (it.range.end, it.padded_end()));
            let (at, padding) = if padded > self.end { (end, 1) } else { (padded, 0) };
            let mut chunk = vec![0; padding];
            chunk.extend(b"ID3 ");
            chunk.extend(self.number(tag.len() as u64)?);
            chunk.extend(&tag);
            chunk.resize(chunk.len() + tag.len() % 2, 0);
            edits.push(Edit::insert(at, chunk));
        }
        let size = (self.end - self.start - 8).saturating_add_signed(Edit::growth(&edits));
        edits.push(match self.wide {
            true => {
                let at = self.start + 20;
                Edit { range: at..at + 8, bytes: size.to_le_bytes().to_vec() }
            }
            false => {
                let at = self.start + 4;
                Edit { range: at..at + 4, bytes: self.number(size)? }
            }
        });
        Ok(edits)
    }

    fn rest(&self) -> Vec<Part> {
        let mut rest =
            vec![Part::Kept(0..self.start + 4), Part::Kept(self.start + 8..self.start + 12)];
        let mut end = self.start + 12;
        for chunk in &self.chunks {
            let Range { start, end: last } = chunk.range;
            match &chunk.tag {
                Some(tag) => {
                    let behind = tag.range.end..last;
                    let parts = tag.rest();
                    if !parts.is_empty() || !behind.is_empty() {
                        rest.push(Part::value(&chunk.id));
                        rest.extend(parts);
                        rest.push(Part::Kept(behind));
                    }
                }
                None if self.wide && start == self.start + 20 => {
                    rest.push(Part::Kept(start + 8..last))
                }
                None => rest.push(Part::Kept(start - 8..last)),
            }
            end = chunk.padded_end().min(self.end);
        }
        rest.push(Part::Kept(end..self.len));
        rest
    }
}
