//! The comments of Vorbis, which FLAC, Opus and Speex have too.
//!
//! All numbers are little-endian and of four bytes: the vendor's length, the vendor, how many
//! comments there are, and for each its length and `NAME=value`.

use super::{MOOD, NOT_TEXT};
use crate::{Error, Result};

/// A block of comments, taken apart.
pub struct Comments {
    vendor: Vec<u8>,
    items: Vec<Vec<u8>>,
    /// What follows the comments: Vorbis' framing bit, padding.
    tail: Vec<u8>,
}

impl Comments {
    /// No comments, for a file that has none.
    pub fn none() -> Self {
        Self { vendor: Vec::new(), items: Vec::new(), tail: Vec::new() }
    }

    /// # Errors
    /// A length leads behind the end, or a mood is no text.
    pub fn parse(mut bytes: &[u8]) -> Result<Self> {
        let broken = || Error::input("a comment is longer than what holds it");
        let vendor = counted(&mut bytes).ok_or_else(broken)?;
        let count = number(&mut bytes).ok_or_else(broken)?;
        let items = (0..count)
            .map(|_| counted(&mut bytes))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(broken)?;
        if items.iter().filter_map(|item| mood(item)).any(|mood| str::from_utf8(mood).is_err()) {
            return Err(Error::input(NOT_TEXT));
        }
        Ok(Self { vendor, items, tail: bytes.to_vec() })
    }

    pub fn moods(&self) -> impl Iterator<Item = String> {
        let moods = self.items.iter().filter_map(|item| mood(item));
        moods.map(|mood| String::from_utf8_lossy(mood).into_owned())
    }

    /// The block with `moods` behind all other comments, in place of those that it has.
    pub fn with(&self, moods: &[String]) -> Vec<u8> {
        let mut items: Vec<&[u8]> = self.others().collect();
        let new: Vec<String> = moods.iter().map(|mood| format!("{MOOD}={mood}")).collect();
        items.extend(new.iter().map(String::as_bytes));
        let mut block = Vec::new();
        let mut count = |bytes: &[u8], count: usize| {
            block.extend((count as u32).to_le_bytes());
            block.extend(bytes);
        };
        count(&self.vendor, self.vendor.len());
        count(&[], items.len());
        items.iter().for_each(|item| count(item, item.len()));
        block.extend(&self.tail);
        block
    }

    /// Every comment but the moods.
    fn others(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().filter(|item| mood(item).is_none()).map(Vec::as_slice)
    }

    /// All but the moods, in order; nothing where there is nothing else.
    pub fn rest(&self) -> Vec<&[u8]> {
        let rest: Vec<&[u8]> = [&*self.vendor].into_iter().chain(self.others()).collect();
        match rest[..] == [b""] && self.tail.is_empty() {
            true => Vec::new(),
            false => rest.into_iter().chain([&*self.tail]).collect(),
        }
    }
}

fn mood(item: &[u8]) -> Option<&[u8]> {
    let name = item.get(..MOOD.len())?;
    let value = item[MOOD.len()..].strip_prefix(b"=")?;
    name.eq_ignore_ascii_case(MOOD.as_bytes()).then_some(value)
}

fn number(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number) as usize)
}

/// Bytes behind their length.
fn counted(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = number(bytes)?;
    let (counted, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(counted.to_vec())
}
