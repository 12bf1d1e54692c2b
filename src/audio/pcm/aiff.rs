//! The headers of AIFF and AIFF-C files.

use std::io::{Error, Result};

use super::{Encoding, Header, Kind, Layout};

/// Reads the header that begins at `first_byte`. The length of the whole file that it gives is not
/// used: programs that append tags leave it wrong.
///
/// # Errors
/// It is damaged, or the samples are coded in a way that is not read. The message is a sentence
/// without its end.
pub fn read(file: &mut Header, first_byte: u64) -> Result<Layout> {
    let compressed = file.array(first_byte + 8)? == *b"AIFC";
    let mut position = first_byte + 12; // past FORM, its length and the kind
    let (mut common, mut sound) = (None, None);
    while common.is_none() || sound.is_none() {
        let Ok(tag) = file.array::<4>(position) else { break };
        let Ok(bytes) = file.array(position + 4).map(u32::from_be_bytes) else { break };
        position += 8;
        match &tag {
            b"COMM" => common = Some(Common::parse(file, position, compressed)?),
            b"SSND" => {
                // The offset into the first block, and the size of a block, precede the samples.
                let offset = u32::from_be_bytes(file.array(position)?);
                let start = position + 8 + u64::from(offset);
                // A recorder that died left no lengths.
                let end = if bytes <= 8 { file.len } else { position + u64::from(bytes) };
                sound = Some((start, end));
            }
            _ => {}
        }
        position += u64::from(bytes) + u64::from(bytes % 2);
    }
    let common = common.ok_or_else(|| Error::other("it has no common chunk"))?;
    let (start, end) = sound.ok_or_else(|| Error::other("it has no sound chunk"))?;
    let frame_bytes = u64::from(common.channels) * common.encoding.kind.bytes();
    // A count that is too small was left by a program that joined files.
    let promised = start + u64::from(common.frames) * frame_bytes;
    let there = end.min(file.len).max(start);
    Ok(Layout {
        sample_rate: common.sample_rate,
        channels: common.channels,
        encoding: common.encoding,
        data: start..there,
        truncated: there < promised.max(end),
    })
}

struct Common {
    channels: u16,
    frames: u32,
    sample_rate: u32,
    encoding: Encoding,
}

impl Common {
    fn parse(file: &mut Header, at: u64, compressed: bool) -> Result<Self> {
        let channels = u16::from_be_bytes(file.array(at)?);
        let bits = u16::from_be_bytes(file.array(at + 6)?);
        if channels == 0 {
            return Err(Error::other("it has zero channels"));
        }
        let coding = if compressed { file.array(at + 18)? } else { *b"NONE" };
        let container = u64::from(bits.div_ceil(8));
        let kind = match &coding {
            b"NONE" | b"twos" | b"sowt" => Kind::signed(container),
            b"in24" => Some(Kind::Signed24),
            b"in32" => Some(Kind::Signed32),
            b"raw " => Some(Kind::Unsigned8),
            b"fl32" | b"FL32" => Some(Kind::Float32),
            b"fl64" | b"FL64" => Some(Kind::Float64),
            b"alaw" | b"ALAW" => Some(Kind::ALaw),
            b"ulaw" | b"ULAW" => Some(Kind::MuLaw),
            other => {
                let name = other.escape_ascii();
                return Err(Error::other(format!("its samples are coded ({name})")));
            }
        };
        let kind =
            kind.ok_or_else(|| Error::other(format!("samples of {bits} bits are not read")))?;
        Ok(Self {
            channels,
            frames: u32::from_be_bytes(file.array(at + 2)?),
            sample_rate: extended(file.array(at + 8)?),
            encoding: Encoding { kind, big_endian: coding != *b"sowt" },
        })
    }
}

/// A number in Apple's 80 bits: sign and exponent, then the mantissa with its leading bit. Rounded
/// to a whole number of Hz; 0 for what is none.
fn extended(bytes: [u8; 10]) -> u32 {
    let [high, low, mantissa @ ..] = bytes;
    let exponent = i32::from(u16::from_be_bytes([high, low])) - 16383;
    let value = u64::from_be_bytes(mantissa) as f64 * 2f64.powi(exponent.min(64) - 63);
    value.round() as u32
}
