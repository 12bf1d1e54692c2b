//! A file as its demultiplexer gets it: stretches of it, with bytes put in or in the place of
//! others, so that what the libraries stumble over is not there.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};
use std::ops::Range;

use symphonia::core::io::MediaSource;

enum Piece {
    Bytes(Vec<u8>),
    /// From this byte of the file on.
    File(u64),
}

/// Pieces one after the other. Positions count from the first byte of the first.
pub struct Source {
    file: File,
    /// Where each piece begins, and the end of the last.
    starts: Vec<u64>,
    pieces: Vec<Piece>,
    at: u64,
}

impl Source {
    pub fn new(file: File) -> Self {
        Self { file, starts: vec![0], pieces: Vec::new(), at: 0 }
    }

    pub fn with_bytes(mut self, bytes: Vec<u8>) -> Self {
        self.starts.push(self.len() + bytes.len() as u64);
        self.pieces.push(Piece::Bytes(bytes));
        self
    }

    pub fn with_stretch(mut self, stretch: Range<u64>) -> Self {
        self.starts.push(self.len() + stretch.end.saturating_sub(stretch.start));
        self.pieces.push(Piece::File(stretch.start));
        self
    }

    fn len(&self) -> u64 {
        *self.starts.last().expect("the end is always there")
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        // The last piece that begins here or before: those behind empty ones begin at one place.
        let piece = self.starts.partition_point(|start| *start <= self.at) - 1;
        let Some(content) = self.pieces.get(piece) else { return Ok(0) };
        let (inside, end) = (self.at - self.starts[piece], self.starts[piece + 1]);
        let wanted = (end - self.at).min(buffer.len() as u64) as usize;
        let read = match content {
            Piece::Bytes(bytes) => {
                buffer[..wanted].copy_from_slice(&bytes[inside as usize..][..wanted]);
                wanted
            }
            Piece::File(start) => {
                self.file.seek(SeekFrom::Start(start + inside))?;
                self.file.read(&mut buffer[..wanted])?
            }
        };
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for Source {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let (base, distance) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(distance) => (self.at, distance),
            SeekFrom::End(distance) => (self.len(), distance),
        };
        self.at = base
            .checked_add_signed(distance)
            .ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        Ok(self.at)
    }
}

impl MediaSource for Source {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_as_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut source = Source::new(File::open(path).unwrap())
            .with_stretch(2..4)
            .with_stretch(4..4)
            .with_bytes(b"ab".to_vec())
            .with_stretch(8..10);
        let mut all = String::new();
        source.read_to_string(&mut all).unwrap();
        assert_eq!((all.as_str(), source.byte_len()), ("23ab89", Some(6)));
        for (to, rest) in [
            (SeekFrom::Start(3), "b89"),
            (SeekFrom::End(-2), "89"),
            (SeekFrom::Current(-5), "3ab89"),
            (SeekFrom::Start(50), ""),
        ] {
            source.seek(to).unwrap();
            let mut read = String::new();
            source.read_to_string(&mut read).unwrap();
            assert_eq!(read, rest);
        }
        assert!(source.seek(SeekFrom::Current(-60)).is_err());
    }
}
