//! WAV files, decoded in stretches.
//!
//! `hound` says what the samples are (it knows the variants of the format chunk). The chunks are
//! walked and the samples converted here, because it reads past the pad byte after a chunk of odd
//! length, refuses files whose length was never filled in (written to a pipe, or by a recorder that
//! died), and takes several times as long.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec};

use crate::error::{Error, Result};

/// Bytes decoded at a time: large enough to be fast, small beside a clip.
const PIECE_BYTES: u64 = 1 << 20;

/// A `fmt ` chunk has 16, 18 or 40 bytes; one that claims more than this is damage.
const MAX_FORMAT_BYTES: u64 = 1 << 10;

/// The format tag whose true format stands in an extension.
const FORMAT_EXTENSIBLE: u16 = 0xfffe;

/// Where the extension has the true format tag.
const SUBFORMAT: usize = 24;

/// Format tags of samples that are coded: Microsoft's ADPCM, A-law, mu-law, IMA's ADPCM.
const CODED: [u16; 4] = [2, 6, 7, 0x11];

/// The format tag of floating-point samples.
const FORMAT_FLOAT: u16 = 3;

/// The length that says "unknown", written by programs that cannot seek back, and by RF64.
const LENGTH_UNKNOWN: u32 = u32::MAX;

/// An open WAV file: its header has been read and checked, its samples have not.
pub struct WavFile {
    path: PathBuf,
    file: File,
    spec: WavSpec,
    encoding: Encoding,
    data_start: u64,
    frame_bytes: u64,
    frames: u64,
    truncated: bool,
}

impl WavFile {
    /// Opens `path`, whose header begins at `first_byte`, and checks the header. None where the
    /// samples are coded or 64 bits wide: those are left to a decoder.
    ///
    /// # Errors
    /// The file cannot be read, or its header is damaged or holds no samples.
    pub fn open(path: &Path, first_byte: u64) -> Result<Option<Self>> {
        let io_error = |error| Error::io("read", path, &error);
        let file = File::open(path).map_err(io_error)?;
        let file_bytes = file.metadata().map_err(io_error)?.len();
        let layout = Layout::scan(BufReader::new(&file), first_byte, file_bytes)
            .map_err(|error| broken(path, &error.to_string()))?;
        if layout.needs_a_decoder() {
            return Ok(None);
        }

        let spec = WavReader::new(&header(&layout.format)[..])
            .map_err(|error| broken(path, &error.to_string()))?
            .spec();
        let frame_bytes = layout.block_align;
        if !frame_bytes.is_multiple_of(u64::from(spec.channels)) {
            return Err(broken(path, "its channels do not fit its block size"));
        }
        let sample_bytes = frame_bytes / u64::from(spec.channels);
        // An extensible header aligns the valid bits to the top of the container, so that the
        // container alone says how to read them.
        let bits = match layout.format_tag() {
            FORMAT_EXTENSIBLE => 8 * sample_bytes,
            _ => u64::from(spec.bits_per_sample),
        };
        let encoding = Encoding::of(spec.sample_format, bits, sample_bytes).ok_or_else(|| {
            broken(path, &format!("samples of {bits} bits in {sample_bytes} bytes are not read"))
        })?;
        let frames = layout.data_bytes / frame_bytes;
        if frames == 0 {
            return Err(Error::input(format!("{} holds no audio samples", path.display())));
        }
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            spec,
            encoding,
            data_start: layout.data_start,
            frame_bytes,
            frames,
            truncated: layout.truncated,
        }))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn sample_rate(&self) -> u32 {
        self.spec.sample_rate
    }

    /// Samples per channel that are really there; at least 1.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// The header promised more samples than the file holds.
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Decodes `range` (in samples per channel, inside the file) and averages the channels.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read_mono(&mut self, range: Range<u64>) -> Result<Vec<f32>> {
        let mut mono = Vec::with_capacity((range.end - range.start) as usize);
        let piece_frames = (PIECE_BYTES / self.frame_bytes).max(1);
        let mut bytes = Vec::new();
        let mut start = range.start;
        self.file
            .seek(SeekFrom::Start(self.data_start + start * self.frame_bytes))
            .map_err(|error| Error::io("read", &self.path, &error))?;
        while start < range.end {
            let frames = piece_frames.min(range.end - start);
            bytes.resize((frames * self.frame_bytes) as usize, 0);
            self.file
                .read_exact(&mut bytes)
                .map_err(|error| Error::io("read", &self.path, &error))?;
            self.encoding.average(&bytes, usize::from(self.spec.channels), &mut mono);
            start += frames;
        }
        Ok(mono)
    }
}

/// How a sample is stored, little-endian.
#[derive(Clone, Copy)]
enum Encoding {
    Unsigned8,
    Signed16,
    Signed24,
    /// In the low three of four bytes, as ALSA records it.
    Signed24In32,
    Signed32,
    Float32,
}

impl Encoding {
    fn of(format: SampleFormat, bits: u64, bytes: u64) -> Option<Self> {
        Some(match (format, bits, bytes) {
            (SampleFormat::Int, 8, 1) => Self::Unsigned8,
            (SampleFormat::Int, 16, 2) => Self::Signed16,
            (SampleFormat::Int, 24, 3) => Self::Signed24,
            (SampleFormat::Int, 24, 4) => Self::Signed24In32,
            (SampleFormat::Int, 32, 4) => Self::Signed32,
            (SampleFormat::Float, 32, 4) => Self::Float32,
            _ => return None,
        })
    }

    /// Appends the average of the channels of every frame; integers are divided by 2^(bits - 1).
    fn average(self, frames: &[u8], channels: usize, mono: &mut Vec<f32>) {
        let int = |bits: i32| 2f64.powi(1 - bits);
        match self {
            Self::Unsigned8 => {
                average(frames, channels, mono, int(8), |[b]: [u8; 1]| f64::from(b) - 128.0);
            }
            Self::Signed16 => {
                average(frames, channels, mono, int(16), |b| f64::from(i16::from_le_bytes(b)));
            }
            Self::Signed24 => average(frames, channels, mono, int(24), |[a, b, c]: [u8; 3]| {
                f64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
            }),
            Self::Signed24In32 => average(frames, channels, mono, int(24), |[a, b, c, _]| {
                f64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
            }),
            Self::Signed32 => {
                average(frames, channels, mono, int(32), |b| f64::from(i32::from_le_bytes(b)));
            }
            Self::Float32 => {
                average(frames, channels, mono, 1.0, |b| f64::from(f32::from_le_bytes(b)));
            }
        }
    }
}

fn average<const BYTES: usize>(
    frames: &[u8],
    channels: usize,
    mono: &mut Vec<f32>,
    unit: f64,
    value: impl Fn([u8; BYTES]) -> f64,
) {
    let scale = unit / channels as f64;
    let (samples, _) = frames.as_chunks::<BYTES>();
    mono.extend(samples.chunks_exact(channels).map(|frame| {
        let sum: f64 = frame.iter().map(|bytes| value(*bytes)).sum();
        (sum * scale) as f32
    }));
}

fn broken(path: &Path, cause: &str) -> Error {
    Error::input(format!(
        "{} is a broken or unusual WAV file: {}; convert it again, for example with \
         `ffmpeg -i INPUT -c:a pcm_s16le OUTPUT.wav`",
        path.display(),
        cause.trim_end_matches('.')
    ))
}

/// Where the parts of a WAV file lie.
struct Layout {
    /// The body of the format chunk, at least 16 bytes.
    format: Vec<u8>,
    /// Bytes of one sample of every channel.
    block_align: u64,
    data_start: u64,
    data_bytes: u64,
    truncated: bool,
}

impl Layout {
    fn format_tag(&self) -> u16 {
        u16::from_le_bytes([self.format[0], self.format[1]])
    }

    /// Whether the samples are stored in another way than [`Encoding`] knows.
    fn needs_a_decoder(&self) -> bool {
        let word = |at: usize| match self.format.get(at..at + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        let tag = match self.format_tag() {
            FORMAT_EXTENSIBLE => word(SUBFORMAT),
            tag => tag,
        };
        CODED.contains(&tag) || (tag == FORMAT_FLOAT && word(14) == 64)
    }

    fn scan(
        mut reader: impl Read + Seek,
        first_byte: u64,
        file_bytes: u64,
    ) -> std::io::Result<Self> {
        let damaged = |what: &str| std::io::Error::other(what.to_owned());
        reader.seek(SeekFrom::Start(first_byte))?;
        let (_, riff_bytes) = chunk_header(&mut reader)?;
        let mut position = first_byte + 12; // past RIFF, its length and WAVE
        let mut format: Option<Vec<u8>> = None;
        let mut long_data_bytes = None; // of an RF64 file, whose data may exceed 4 GiB
        loop {
            if position + 8 > file_bytes {
                return Err(damaged("it ends before its data chunk"));
            }
            reader.seek(SeekFrom::Start(position))?;
            let (tag, bytes) = chunk_header(&mut reader)?;
            position += 8;
            let length = u64::from(bytes);
            match &tag {
                b"fmt " if (16..=MAX_FORMAT_BYTES).contains(&length) => {
                    let mut body = vec![0; bytes as usize];
                    reader.read_exact(&mut body)?;
                    format = Some(body);
                }
                b"fmt " => return Err(damaged("its format chunk has a wrong length")),
                b"ds64" if length >= 16 => {
                    let mut sizes = [0; 16];
                    reader.read_exact(&mut sizes)?;
                    long_data_bytes = sizes[8..].try_into().ok().map(u64::from_le_bytes);
                }
                b"data" => {
                    let format = format.ok_or_else(|| damaged("it has no format chunk"))?;
                    let there = file_bytes - position;
                    // A recorder that died left lengths which end where the data begin.
                    let unfinished = riff_bytes == LENGTH_UNKNOWN
                        || first_byte + u64::from(riff_bytes) + 8 <= position;
                    let promised = match bytes {
                        LENGTH_UNKNOWN => long_data_bytes.unwrap_or(there),
                        0 if unfinished => there,
                        _ => length,
                    };
                    return Ok(Self {
                        block_align: u64::from(u16::from_le_bytes([format[12], format[13]])),
                        format,
                        data_start: position,
                        data_bytes: promised.min(there),
                        truncated: promised > there,
                    });
                }
                _ => {}
            }
            position += length + length % 2;
        }
    }
}

fn chunk_header(reader: &mut impl Read) -> std::io::Result<([u8; 4], u32)> {
    let (mut tag, mut bytes) = ([0; 4], [0; 4]);
    reader.read_exact(&mut tag)?;
    reader.read_exact(&mut bytes)?;
    Ok((tag, u32::from_le_bytes(bytes)))
}

/// A WAV file of no samples, from which `hound` reads the format.
fn header(format: &[u8]) -> Vec<u8> {
    let mut wav = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
    wav.extend_from_slice(&(format.len() as u32).to_le_bytes());
    wav.extend_from_slice(format);
    wav.extend_from_slice(b"data\0\0\0\0");
    wav
}
