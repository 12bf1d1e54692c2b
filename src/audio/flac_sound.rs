//! A FLAC file as its decoder gets it: tags cannot hide the sound.
//!
//! Symphonia gives a file up for a picture whose lengths are wrong, and takes a tag behind the
//! last frame for a part of it.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

/// Kinds of blocks of metadata: what is passed over, and what a decoder has no use for (another
/// program's, comments, a cue sheet, a picture).
const PADDING: u8 = 1;
const UNUSED: [u8; 4] = [2, 4, 5, 6];
/// Marks the last block.
const LAST: u8 = 0x80;
/// Bytes of an ID3v1 tag, and of the header and the footer of an APE tag.
const ID3V1: u64 = 128;
const APE: u64 = 32;

pub struct FlacSound {
    file: File,
    at: u64,
    /// Where the sound ends.
    end: u64,
    /// Where the kinds of the blocks stand that are shown as padding.
    unused: Vec<u64>,
}

impl FlacSound {
    /// The file whose `fLaC` stands at `start`.
    pub fn new(mut file: File, start: u64) -> Result<Self> {
        let end = end(&mut file)?;
        let (mut unused, mut at) = (Vec::new(), start + 4);
        let mut header = [0; 4];
        while at + 4 <= end && header[0] & LAST == 0 {
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut header)?;
            let [kind, high, middle, low] = header;
            if UNUSED.contains(&(kind & !LAST)) {
                unused.push(at);
            }
            at += 4 + u64::from(u32::from_be_bytes([0, high, middle, low]));
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(Self { file, at: 0, end, unused })
    }
}

/// Where the tags begin that stand behind the sound.
fn end(file: &mut File) -> Result<u64> {
    let mut end = file.metadata()?.len();
    let mut last = |end: u64, length: u64| -> Result<[u8; APE as usize]> {
        let mut bytes = [0; APE as usize];
        if end >= length {
            file.seek(SeekFrom::Start(end - length))?;
            file.read_exact(&mut bytes)?;
        }
        Ok(bytes)
    };
    if last(end, ID3V1)?.starts_with(b"TAG") {
        end -= ID3V1;
    }
    // Its name, version, length without the header, count of items, flags (the highest: there is a
    // header).
    let footer = last(end, APE)?;
    if footer.starts_with(b"APETAGEX") {
        let number = |at: usize| u32::from_le_bytes(footer[at..at + 4].try_into().unwrap());
        let header = if number(20) >> 31 == 1 { APE } else { 0 };
        end = end.saturating_sub(u64::from(number(12)) + header);
    }
    Ok(end)
}

impl Read for FlacSound {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let left = self.end.saturating_sub(self.at).min(buffer.len() as u64) as usize;
        let read = self.file.read(&mut buffer[..left])?;
        let first = self.unused.partition_point(|at| *at < self.at);
        for at in &self.unused[first..] {
            let Some(kind) = buffer[..read].get_mut((at - self.at) as usize) else { break };
            *kind = *kind & LAST | PADDING;
        }
        self.at += read as u64;
        Ok(read)
    }
}

impl Seek for FlacSound {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        self.at = match to {
            SeekFrom::End(distance) => {
                self.file.seek(SeekFrom::Start(self.end.saturating_add_signed(distance)))?
            }
            to => self.file.seek(to)?,
        };
        Ok(self.at)
    }
}

impl MediaSource for FlacSound {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.end)
    }
}
