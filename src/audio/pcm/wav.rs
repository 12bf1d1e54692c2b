//! The headers of WAV files: RIFF, RIFX (its numbers are big-endian), RF64 and BW64.
//!
//! Programs have written the format chunk in many ways. Its fields are taken as players take them:
//! what the samples are follows from the format tag, the bits and the bytes of a frame; the bytes a
//! second are not read; extensions may be missing, short or long.

use std::io::{Error, Result};
use std::ops::Range;

use super::{Encoding, Header, Kind, Layout};

/// A format chunk has 14 to 40 bytes, or a few more; one that claims more than this is damage.
const FORMAT_BYTES: std::ops::RangeInclusive<u64> = 14..=1 << 10;

/// Format tags. The true one of `EXTENSIBLE` stands in an extension, at this place.
const PCM: u16 = 1;
const MS_ADPCM: u16 = 2;
const FLOAT: u16 = 3;
const A_LAW: u16 = 6;
const MU_LAW: u16 = 7;
const IMA_ADPCM: u16 = 0x11;
const MPEG_LAYER_3: u16 = 0x55;
const EXTENSIBLE: u16 = 0xfffe;
const SUBFORMAT: usize = 24;

/// The length that says "unknown", written by programs that cannot seek back, and by RF64.
const LENGTH_UNKNOWN: u32 = u32::MAX;

/// What a WAV file holds.
pub enum Wav {
    Pcm(Layout),
    /// Microsoft's or IMA's ADPCM: a header that says no more than is needed, and where the blocks
    /// lie that belong behind it.
    Adpcm {
        header: Vec<u8>,
        blocks: Range<u64>,
        truncated: bool,
    },
    /// An MP3 file from here on.
    Mp3 {
        at: u64,
        truncated: bool,
    },
}

/// Reads the header that begins at `first_byte`.
///
/// # Errors
/// It is damaged, or the samples are coded in another way. The message is a sentence without its
/// end.
pub fn read(file: &mut Header, first_byte: u64) -> Result<Wav> {
    let chunks = Chunks::find(file, first_byte)?;
    let format = Format::parse(&chunks);
    if format.channels == 0 {
        return Err(Error::other("it has zero channels"));
    }
    match format.tag {
        MS_ADPCM | IMA_ADPCM => {
            let header = format.adpcm_header(&chunks)?;
            return Ok(Wav::Adpcm { header, blocks: chunks.data, truncated: chunks.truncated });
        }
        MPEG_LAYER_3 => return Ok(Wav::Mp3 { at: chunks.data.start, truncated: chunks.truncated }),
        _ => {}
    }
    let encoding = Encoding { kind: format.kind()?, big_endian: chunks.big_endian };
    Ok(Wav::Pcm(Layout {
        sample_rate: format.sample_rate,
        channels: format.channels,
        encoding,
        data: chunks.data,
        truncated: chunks.truncated,
    }))
}

/// Where the parts of a file lie.
struct Chunks {
    big_endian: bool,
    /// The body of the format chunk.
    format: Vec<u8>,
    data: Range<u64>,
    truncated: bool,
}

impl Chunks {
    fn find(file: &mut Header, first_byte: u64) -> Result<Self> {
        let big_endian = file.array(first_byte)? == *b"RIFX";
        let number = |bytes| match big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        };
        let riff_bytes = number(file.array(first_byte + 4)?);
        let mut position = first_byte + 12; // past RIFF, its length and WAVE
        let mut format: Option<Vec<u8>> = None;
        let mut data: Option<(Range<u64>, bool)> = None;
        let mut long_data_bytes = None; // of an RF64 file, whose data may exceed 4 GiB
        while format.is_none() || data.is_none() {
            let Ok(tag) = file.array::<4>(position) else { break };
            let Ok(length) = file.array(position + 4).map(number) else { break };
            position += 8;
            let bytes = u64::from(length);
            match &tag {
                b"fmt " if FORMAT_BYTES.contains(&bytes) => {
                    format = Some(file.bytes(position, bytes)?);
                }
                b"fmt " => return Err(Error::other("its format chunk has a wrong length")),
                b"ds64" if bytes >= 16 => {
                    long_data_bytes = Some(u64::from_le_bytes(file.array(position + 8)?));
                }
                b"data" => {
                    let there = file.len - position;
                    // A recorder that died left lengths which end where the data begin.
                    let unfinished = riff_bytes == LENGTH_UNKNOWN
                        || first_byte + u64::from(riff_bytes) + 8 <= position;
                    let next = file.array(position);
                    let chunk_follows = next.map_or(there == 0, |tag| is_tag(&tag));
                    let promised = match length {
                        LENGTH_UNKNOWN => long_data_bytes.unwrap_or(there),
                        0 if unfinished || !chunk_follows => there,
                        _ => bytes,
                    };
                    data = Some((position..position + promised.min(there), promised > there));
                }
                _ => {}
            }
            position += bytes;
            // A pad byte follows a chunk of odd length, unless its writer forgot it.
            let forgotten = bytes % 2 == 1
                && file.array(position).is_ok_and(|tag| is_tag(&tag))
                && !file.array(position + 1).is_ok_and(|tag| is_tag(&tag));
            position += u64::from(bytes % 2 == 1 && !forgotten);
        }
        match (format, data) {
            (Some(format), Some((data, truncated))) => {
                Ok(Self { big_endian, format, data, truncated })
            }
            (None, Some(_)) => Err(Error::other("it has no format chunk")),
            (_, None) => Err(Error::other("it ends before its data chunk")),
        }
    }

    /// A field of two bytes of the format chunk; 0 where the chunk is too short for it.
    fn word(&self, at: usize) -> u16 {
        match self.format.get(at..at + 2) {
            Some(&[a, b]) if self.big_endian => u16::from_be_bytes([a, b]),
            Some(&[a, b]) => u16::from_le_bytes([a, b]),
            _ => 0,
        }
    }
}

fn is_tag(tag: &[u8; 4]) -> bool {
    tag.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') && tag[0] != b' '
}

struct Format {
    tag: u16,
    channels: u16,
    sample_rate: u32,
    /// Bytes of a frame of PCM, or of a block of ADPCM.
    block_align: u16,
    bits: u16,
    /// The bits stand at the top of their bytes whatever their number.
    extensible: bool,
}

impl Format {
    fn parse(chunks: &Chunks) -> Self {
        let extensible = chunks.word(0) == EXTENSIBLE;
        let (low, high) = (chunks.word(4), chunks.word(6));
        let (low, high) = if chunks.big_endian { (high, low) } else { (low, high) };
        let tag = match chunks.word(SUBFORMAT) {
            // Some have no room for an extension; those are PCM.
            0 if extensible => PCM,
            subformat if extensible => subformat,
            _ => chunks.word(0),
        };
        Self {
            tag,
            channels: chunks.word(2),
            sample_rate: u32::from(high) << 16 | u32::from(low),
            block_align: chunks.word(12),
            bits: chunks.word(14),
            extensible,
        }
    }

    fn kind(&self) -> Result<Kind> {
        let (channels, block, bits) = (self.channels, self.block_align, self.bits);
        let unread = || {
            let bytes = f64::from(block) / f64::from(channels);
            Error::other(format!("samples of {bits} bits in {bytes} bytes are not read"))
        };
        match self.tag {
            A_LAW => return Ok(Kind::ALaw),
            MU_LAW => return Ok(Kind::MuLaw),
            PCM | FLOAT => {}
            tag => return Err(Error::other(format!("its samples are coded (format tag {tag})"))),
        }
        // The bytes of a frame are believed where its channels have the room that they need.
        let needed = u64::from(bits.div_ceil(8));
        let container = match u64::from(block) / u64::from(channels) {
            bytes if block % channels == 0 && bytes >= needed.max(1) && bytes <= 8 => bytes,
            _ => needed,
        };
        let kind = match (self.tag, container) {
            (FLOAT, bytes) => Kind::float(bytes),
            (_, 1) => Some(Kind::Unsigned8),
            (_, 4) if bits == 24 && !self.extensible => Some(Kind::Signed24In32),
            (_, bytes) => Kind::signed(bytes),
        };
        kind.ok_or_else(unread)
    }

    /// The header of a RIFF file of as many blocks as are there. Blocks decode by themselves, so
    /// that whatever else a header says is not needed.
    fn adpcm_header(&self, chunks: &Chunks) -> Result<Vec<u8>> {
        let Self { tag, channels, sample_rate, block_align, .. } = *self;
        let (head, in_head) = if tag == MS_ADPCM { (7, 2) } else { (4, 1) };
        let coded = u32::from(block_align).checked_sub(head * u32::from(channels));
        let Some(coded) = coded.filter(|_| channels <= 2) else {
            return Err(Error::other("its blocks of ADPCM are too small"));
        };
        if chunks.big_endian {
            return Err(Error::other("it is ADPCM with its numbers in the wrong order"));
        }
        let samples_per_block = coded * 2 / u32::from(channels) + in_head;
        let mut extension = (samples_per_block as u16).to_le_bytes().to_vec();
        if tag == MS_ADPCM {
            // The seven pairs of coefficients that every encoder uses.
            extension.extend(7u16.to_le_bytes());
            for pair in
                [[256, 0], [512, -256], [0, 0], [192, 64], [240, 0], [460, -208], [392, -232i16]]
            {
                extension.extend(pair.into_iter().flat_map(i16::to_le_bytes));
            }
        }
        let data_bytes = chunks.data.end - chunks.data.start;
        let data_bytes = u32::try_from(data_bytes)
            .map_err(|_| Error::other("it is ADPCM of more than 4 GiB"))?;
        let mut header = b"RIFF\xff\xff\xff\xffWAVEfmt ".to_vec();
        header.extend((18 + extension.len() as u32).to_le_bytes());
        for field in [tag, channels] {
            header.extend(field.to_le_bytes());
        }
        for field in [sample_rate, sample_rate] {
            header.extend(field.to_le_bytes());
        }
        for field in [block_align, 4, extension.len() as u16] {
            header.extend(field.to_le_bytes());
        }
        header.extend(extension);
        header.extend(b"data");
        header.extend(data_bytes.to_le_bytes());
        Ok(header)
    }
}
