//! The bytes of a file, as they are or as they would be.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use crate::{Error, Result};

/// Bytes that take the place of a range of a file: none to take it away, an empty range to put in.
pub struct Edit {
    pub range: Range<u64>,
    pub bytes: Vec<u8>,
}

impl Edit {
    pub fn insert(at: u64, bytes: Vec<u8>) -> Self {
        Self { range: at..at, bytes }
    }

    pub fn remove(range: Range<u64>) -> Self {
        Self { range, bytes: Vec::new() }
    }

    /// By how many bytes `edits` lengthen a file.
    pub fn growth(edits: &[Self]) -> i64 {
        edits.iter().map(|edit| edit.bytes.len() as i64 - length(&edit.range) as i64).sum()
    }
}

pub fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

enum Piece {
    /// Bytes of the file.
    Kept(Range<u64>),
    New(Vec<u8>),
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Kept(range) => length(range),
            Self::New(bytes) => bytes.len() as u64,
        }
    }
}

/// A file, or what edits would make of it. Only what is read is in memory.
pub struct Content<'a> {
    file: &'a File,
    /// Each with the place where it begins.
    pieces: Vec<(u64, Piece)>,
    len: u64,
}

impl<'a> Content<'a> {
    /// # Errors
    /// The length cannot be told.
    pub fn of(file: &'a File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, pieces: vec![(0, Piece::Kept(0..len))], len })
    }

    /// What `edits`, none of which overlap, make of the file as it is.
    pub fn edited(&self, mut edits: Vec<Edit>) -> Self {
        edits.sort_by_key(|edit| edit.range.start);
        let mut new = Self { file: self.file, pieces: Vec::new(), len: 0 };
        let mut kept = 0;
        for edit in edits {
            new.push(Piece::Kept(kept..edit.range.start));
            new.push(Piece::New(edit.bytes));
            kept = edit.range.end;
        }
        new.push(Piece::Kept(kept..self.len));
        new
    }

    fn push(&mut self, piece: Piece) {
        if piece.len() > 0 {
            let start = self.len;
            self.len += piece.len();
            self.pieces.push((start, piece));
        }
    }

    pub fn len(&self) -> u64 {
        self.len
    }

    /// The bytes of `range`; what lies behind the end is left out.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_to(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let range = range.start..range.end.min(self.len);
        let mut bytes = Vec::with_capacity(range.end.saturating_sub(range.start) as usize);
        self.for_each_piece(range, |piece| match piece {
            Piece::Kept(range) => {
                let mut file = self.file;
                file.seek(SeekFrom::Start(range.start))?;
                let wanted = length(&range);
                match file.take(wanted).read_to_end(&mut bytes)? as u64 == wanted {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Piece::New(new) => {
                bytes.extend(new);
                Ok(())
            }
        })
        .map_err(|error| Error::failure(format!("it cannot be read ({error})")))?;
        Ok(bytes)
    }

    /// The bytes of `range`.
    ///
    /// # Errors
    /// The content ends before, or the file cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        match range.start <= range.end && range.end <= self.len {
            true => self.read_to(range),
            false => Err(Error::input("it ends before its header says")),
        }
    }

    /// The `N` bytes at `at`.
    ///
    /// # Errors
    /// As [`Content::read`].
    pub fn array<const N: usize>(&self, at: u64) -> Result<[u8; N]> {
        let bytes = self.read(at..at.saturating_add(N as u64))?;
        Ok(bytes.try_into().expect("as many as were asked for"))
    }

    /// Hands over the parts of `range`, which lies inside the content, in order.
    fn for_each_piece(
        &self,
        range: Range<u64>,
        mut take: impl FnMut(Piece) -> io::Result<()>,
    ) -> io::Result<()> {
        let first =
            self.pieces.partition_point(|(start, piece)| start + piece.len() <= range.start);
        for (start, piece) in &self.pieces[first..] {
            if *start >= range.end {
                break;
            }
            let from = range.start.saturating_sub(*start);
            let to = piece.len().min(range.end - start);
            take(match piece {
                Piece::Kept(kept) => Piece::Kept(kept.start + from..kept.start + to),
                Piece::New(bytes) => Piece::New(bytes[from as usize..to as usize].to_vec()),
            })?;
        }
        Ok(())
    }

    /// Whether `range` holds the same bytes as `other` of `content`, which is of the same file:
    /// without reading where both are the same stretch of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn holds(&self, range: Range<u64>, content: &Self, other: Range<u64>) -> Result<bool> {
        if length(&range) != length(&other) {
            return Ok(false);
        }
        let single = |content: &Self, range: &Range<u64>| {
            let mut stretches = Vec::new();
            let _ = content.for_each_piece(range.clone(), |piece| {
                stretches.push(match piece {
                    Piece::Kept(stretch) => Some(stretch),
                    Piece::New(_) => None,
                });
                Ok(())
            });
            match &stretches[..] {
                [Some(stretch)] => Some(stretch.clone()),
                _ => None,
            }
        };
        let (one, two) = (single(self, &range), single(content, &other));
        if one.is_some() && one == two {
            return Ok(true);
        }
        for done in (0..length(&range)).step_by(BLOCK as usize) {
            let block =
                |range: &Range<u64>| range.start + done..range.end.min(range.start + done + BLOCK);
            if self.read(block(&range))? != content.read(block(&other))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether `range` holds nothing but zeros.
    ///
    /// # Errors
    /// As [`Content::read`].
    pub fn is_blank(&self, range: Range<u64>) -> Result<bool> {
        for start in range.clone().step_by(BLOCK as usize) {
            let block = self.read(start..range.end.min(start + BLOCK))?;
            if block.iter().any(|&byte| byte != 0) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The file cannot be read, has become shorter, or `out` cannot be written.
    pub fn copy_to(&self, out: &mut impl Write) -> io::Result<()> {
        self.for_each_piece(0..self.len, |piece| match piece {
            Piece::Kept(range) => {
                let mut file = self.file;
                file.seek(SeekFrom::Start(range.start))?;
                match io::copy(&mut file.take(length(&range)), out)? == length(&range) {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Piece::New(bytes) => out.write_all(&bytes),
        })
    }
}

/// Bytes that are looked at in one go.
const BLOCK: u64 = 1 << 20;
