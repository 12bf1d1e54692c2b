//! FLAC: `fLaC`, blocks of metadata, frames of sound.
//!
//! A block is a byte (its kind, and 0x80 in the last), three bytes of length, and its content. No
//! number in the file depends on the length of the comments.

use std::ops::Range;

use super::comments::Comments;
use super::content::{Content, Edit};
use super::{Container, MOOD, Part};
use crate::{Error, Result};

const STREAM_INFORMATION: u8 = 0;
const COMMENTS: u8 = 4;
/// Marks the last block.
const LAST: u8 = 0x80;
/// The length of a block has three bytes.
const LONGEST: usize = 0xff_ffff;

struct Block {
    kind: u8,
    last: bool,
    /// With its header of four bytes.
    range: Range<u64>,
    /// What a block of comments says.
    comments: Option<Comments>,
}

pub struct Flac {
    blocks: Vec<Block>,
    len: u64,
}

impl Flac {
    /// The file whose `fLaC` stands at `start`.
    ///
    /// # Errors
    /// The blocks do not lead to sound.
    pub fn parse(content: &Content<'_>, start: u64) -> Result<Self> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut at = start + 4;
        while blocks.last().is_none_or(|block| !block.last) {
            let [kind, length @ ..] = content.array::<4>(at)?;
            let [high, middle, low] = length;
            let end = at + 4 + u64::from(u32::from_be_bytes([0, high, middle, low]));
            let (kind, last) = (kind & !LAST, kind & LAST != 0);
            let comments = match kind {
                COMMENTS => Some(Comments::parse(&content.read(at + 4..end)?)?),
                _ => None,
            };
            blocks.push(Block { kind, last, range: at..end, comments });
            at = end;
        }
        if blocks[0].kind != STREAM_INFORMATION {
            return Err(Error::input("its first block does not describe the stream"));
        }
        // A frame begins with fourteen set bits but one.
        match content.array::<2>(at)? {
            [0xff, second] if second & 0xfc == 0xf8 => Ok(Self { blocks, len: content.len() }),
            _ => Err(Error::input("no sound follows its blocks of metadata")),
        }
    }
}

/// A block of comments.
fn block(comments: &Comments, moods: &[String], last: bool) -> Result<Vec<u8>> {
    let content = comments.with(moods);
    if content.len() > LONGEST {
        return Err(Error::input("its comments are longer than FLAC allows"));
    }
    let [_, length @ ..] = (content.len() as u32).to_be_bytes();
    let kind = if last { COMMENTS | LAST } else { COMMENTS };
    Ok([&[kind][..], &length, &content].concat())
}

impl Container for Flac {
    fn field(&self) -> &'static str {
        MOOD
    }

    fn moods(&self) -> Vec<String> {
        let comments = self.blocks.iter().filter_map(|block| block.comments.as_ref());
        comments.flat_map(Comments::moods).collect()
    }

    fn edits(&self, _: &Content<'_>, moods: &[String]) -> Result<Vec<Edit>> {
        let mut edits = Vec::new();
        // The first block of comments names them; another is against the standard.
        let mut moods = Some(moods);
        for old in &self.blocks {
            if let Some(comments) = &old.comments {
                let bytes = block(comments, moods.take().unwrap_or_default(), old.last)?;
                edits.push(Edit { range: old.range.clone(), bytes });
            }
        }
        if let Some(moods) = moods {
            let first = &self.blocks[0];
            let (start, end) = (first.range.start, first.range.end);
            edits.push(Edit { range: start..start + 1, bytes: vec![STREAM_INFORMATION] });
            edits.push(Edit::insert(end, block(&Comments::none(), moods, first.last)?));
        }
        Ok(edits)
    }

    fn rest(&self) -> Vec<Part> {
        let first = self.blocks[0].range.start;
        let mut rest = vec![Part::Kept(0..first)];
        for block in &self.blocks {
            match &block.comments {
                Some(comments) => rest.extend(comments.rest().into_iter().map(Part::value)),
                None => {
                    rest.push(Part::value(&[block.kind]));
                    rest.push(Part::Kept(block.range.start + 1..block.range.end));
                }
            }
        }
        let sound = self.blocks.last().expect("at least one").range.end;
        rest.push(Part::Kept(sound..self.len));
        rest
    }
}
