//! Every format but PCM, by `symphonia` and, for Opus, `opus_pure`: any stretch is decoded without
//! keeping the rest.
//!
//! The demultiplexers and decoders get what a file holds in a form that they can take (`source`),
//! and what they do not look at is read here: chains of Ogg streams (`ogg`) and their headers
//! (`ogg_headers`), the edit lists and the counts of MP4 (`mp4`), block sizes and tags of FLAC (`flac`),
//! the streams of Opus (`opus`), HE-AAC (`he_aac`). What a header claims is held against what the file
//! can hold before it costs time or memory.

mod flac;
mod he_aac;
mod mp4;
mod ogg;
mod ogg_headers;
mod opus;
mod packets;
mod source;
mod stream;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::format::Format;
use crate::error::{Error, Result};
pub use ogg_headers::checksum as page_checksum;
use stream::Stream;

/// Where the bytes of one stream lie in a file, and what they are.
#[derive(Clone, Debug)]
pub struct Stretch {
    format: Format,
    /// A header that stands in front of the bytes.
    header: Vec<u8>,
    bytes: Range<u64>,
    /// Positions in it are wrong, and only its packets can be counted.
    clock_lies: bool,
    /// They may be: its packets are to be asked.
    clock_may_lie: bool,
    /// Bytes among them that are left out.
    beside: Vec<Range<u64>>,
}

/// An open file: its length is known, its samples have not been decoded.
pub struct CompressedFile {
    path: PathBuf,
    sample_rate: u32,
    /// One after the other; of nearly all files there is one.
    links: Vec<Link>,
    /// The one that was read last, by its number.
    open: (usize, Stream),
    truncated: bool,
    damaged: bool,
}

struct Link {
    stretch: Stretch,
    /// Its frames, as frames of the file.
    frames: Range<u64>,
}

impl CompressedFile {
    /// Opens `path`, whose `format` begins at `first_byte`.
    ///
    /// # Errors
    /// The file cannot be read, its codec is not known, or it is damaged or holds no samples.
    pub fn open(path: &Path, format: Format, first_byte: u64) -> Result<Self> {
        let io_error = |error| Error::io("read", path, &error);
        let file = File::open(path).map_err(io_error)?;
        let len = file.metadata().map_err(io_error)?.len();
        let stretch = |bytes: Range<u64>| {
            let bytes = bytes.start..bytes.end.min(len);
            let (header, beside) = (Vec::new(), Vec::new());
            Stretch { format, header, bytes, clock_lies: false, clock_may_lie: false, beside }
        };
        let stretches = match format {
            Format::Ogg => {
                let mut links = ogg::links(&file, first_byte).map_err(io_error)?;
                if !links.is_empty() && links.iter().all(|link| !link.is_read) {
                    return Err(unread(path, format, "not Vorbis, Opus or FLAC"));
                }
                // A recording that was stopped may end within headers.
                if links.iter().any(|link| link.pages_of_sound > 0) {
                    links.retain(|link| link.pages_of_sound > 0);
                }
                let of_link = |link: ogg::Link| Stretch {
                    clock_lies: link.clock_lies,
                    clock_may_lie: link.clock_may_lie,
                    beside: link.beside,
                    ..stretch(link.bytes)
                };
                links.into_iter().map(of_link).collect()
            }
            Format::Flac => {
                let links = flac::links(&file, first_byte).map_err(io_error)?;
                links.into_iter().map(stretch).collect()
            }
            _ => vec![stretch(first_byte..len)],
        };
        Self::open_chain(path, stretches)
    }

    /// Opens the blocks of ADPCM of a WAV file, behind a header that says what they are.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_adpcm(path: &Path, header: Vec<u8>, bytes: Range<u64>) -> Result<Self> {
        let (clock_lies, clock_may_lie, beside) = (false, false, Vec::new());
        let format = Format::Wav;
        let stretch = Stretch { format, header, bytes, clock_lies, clock_may_lie, beside };
        Self::open_chain(path, vec![stretch])
    }

    fn open_chain(path: &Path, stretches: Vec<Stretch>) -> Result<Self> {
        let streams = stretches.len();
        let mut file: Option<Self> = None;
        for (number, stretch) in (1..).zip(stretches) {
            let stream = Stream::open(path, &stretch).map_err(|error| match streams {
                1 => error,
                _ => error.followed_by(&format!(
                    "this is stream {number} of the {streams} joined in the file"
                )),
            })?;
            match &mut file {
                None => {
                    file = Some(Self {
                        path: path.to_owned(),
                        sample_rate: stream.sample_rate(),
                        links: vec![Link { stretch, frames: 0..stream.frames() }],
                        truncated: stream.truncated(),
                        damaged: stream.damaged(),
                        open: (0, stream),
                    });
                }
                Some(file) => file.append(stretch, stream)?,
            }
        }
        file.ok_or_else(|| broken(path, Format::Ogg, "it has no first page"))
    }

    fn append(&mut self, stretch: Stretch, stream: Stream) -> Result<()> {
        if stream.sample_rate() != self.sample_rate {
            return Err(changing(
                &self.path,
                &format!(
                    "its sample rate from {} to {} Hz",
                    self.sample_rate,
                    stream.sample_rate()
                ),
                self.frames() as f64 / f64::from(self.sample_rate),
            ));
        }
        self.truncated |= stream.truncated();
        self.damaged |= stream.damaged();
        let start = self.frames();
        self.links.push(Link { stretch, frames: start..start + stream.frames() });
        Ok(())
    }

    /// As one that is `truncated`, by the header of the file around it.
    pub fn marked(self, truncated: bool) -> Self {
        Self { truncated: self.truncated || truncated, ..self }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Samples per channel that are really there; at least 1.
    pub fn frames(&self) -> u64 {
        self.links.last().map_or(0, |link| link.frames.end)
    }

    /// The file ends before its header says, or before its last page.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Parts of what was read so far could not be decoded and are silent.
    pub fn damaged(&self) -> bool {
        self.damaged
    }

    /// Decodes `range` (inside the file) and averages the channels. What cannot be decoded within
    /// it is silent.
    ///
    /// # Errors
    /// The file cannot be read, or nothing in `range` can be decoded.
    pub fn read_mono(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let mut mono = Vec::new();
        for number in 0..self.links.len() {
            let frames = self.links[number].frames.clone();
            let inside = range.start.max(frames.start)..range.end.min(frames.end);
            if inside.is_empty() {
                continue;
            }
            let here = inside.start - frames.start..inside.end - frames.start;
            let stream = self.link(number)?;
            let read = stream.read_mono(here)?;
            let damaged = stream.damaged();
            self.damaged |= damaged;
            if mono.is_empty() {
                mono = read;
            } else {
                mono.extend(read);
            }
        }
        Ok(mono)
    }

    /// Hands the bytes of every packet of the music to `take`, in order.
    pub fn for_each_packet(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        for number in 0..self.links.len() {
            self.link(number)?.for_each_packet(&mut take)?;
        }
        Ok(())
    }

    /// One link is open at a time: a chain of thousands costs the memory of one.
    fn link(&mut self, number: usize) -> Result<&mut Stream> {
        if self.open.0 != number {
            self.open = (number, Stream::open(&self.path, &self.links[number].stretch)?);
        }
        Ok(&mut self.open.1)
    }
}

/// `what` is the thing that changes.
fn changing(path: &Path, what: &str, seconds: f64) -> Error {
    Error::input(format!(
        "{} changes {what} at {seconds:.1} s, as joined files do; convert it first, for example \
         with `ffmpeg -i INPUT OUTPUT.flac`",
        path.display()
    ))
}

fn unread(path: &Path, format: Format, kind: &str) -> Error {
    Error::unread(format!(
        "{} is {format} of a kind that is not read ({kind}); convert it first, for example with \
         `ffmpeg -i INPUT OUTPUT.flac`",
        path.display()
    ))
}

fn broken(path: &Path, format: Format, cause: &str) -> Error {
    Error::input(format!(
        "{} is a broken or unusual {format} file: {cause}; convert it again, for example with \
         `ffmpeg -i INPUT OUTPUT.flac`",
        path.display()
    ))
}
