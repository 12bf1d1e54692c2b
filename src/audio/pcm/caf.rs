//! The headers of Core Audio files.

use std::io::{Error, Result};

use super::{Encoding, Header, Kind, Layout};

/// Flags of linear PCM.
const FLOAT: u32 = 1;
const LITTLE_ENDIAN: u32 = 2;

/// The most channels and frames that a packet of a codec has: a header that claims more is damage,
/// and its decoder would reserve memory for all of them.
const MOST_CHANNELS: u32 = 64;
const MOST_FRAMES: u32 = 1 << 16;

/// What a packet of IMA's ADPCM has: these frames, in these bytes a channel.
const IMA_FRAMES: u32 = 64;
const IMA_BYTES: u32 = 34;

/// The length of sound that goes on to the end of the file.
const TO_THE_END: i64 = -1;

/// Reads the header that begins at `first_byte`. None where the sound is coded; what the header
/// claims of it has been held against the file's size then.
///
/// # Errors
/// It is damaged. The message is a sentence without its end.
pub fn read(file: &mut Header, first_byte: u64) -> Result<Option<Layout>> {
    let mut position = first_byte + 8; // past the mark, the version and the flags
    let (mut description, mut data, mut truncated) = (None, None, false);
    while let Ok(tag) = file.array::<4>(position) {
        let Ok(length) = file.array(position + 4).map(i64::from_be_bytes) else { break };
        position += 12;
        let left = file.len - position;
        let sound = tag == *b"data";
        let bytes = match u64::try_from(length) {
            Ok(length) if length <= left => length,
            Ok(_) if sound => {
                truncated = true;
                left
            }
            Err(_) if sound && length == TO_THE_END => left,
            _ => return Err(Error::other("one of its chunks is longer than the file")),
        };
        match &tag {
            b"desc" => description = Some(Description::parse(file, position)?),
            // Four bytes count the changes.
            b"data" => data = Some((position + 4).min(position + bytes)..position + bytes),
            b"pakt" => {
                let packets = u64::from_be_bytes(file.array(position)?);
                if packets > file.len {
                    return Err(Error::other("it claims more packets than it has bytes"));
                }
            }
            _ => {}
        }
        position += bytes;
    }
    let description = description.ok_or_else(|| Error::other("it has no description"))?;
    let data = data.ok_or_else(|| Error::other("it has no sound"))?;
    let Some(encoding) = description.encoding()? else { return Ok(None) };
    Ok(Some(Layout {
        sample_rate: description.sample_rate,
        channels: description.channels as u16,
        encoding,
        data,
        truncated,
    }))
}

struct Description {
    sample_rate: u32,
    coding: [u8; 4],
    flags: u32,
    packet_bytes: u32,
    packet_frames: u32,
    channels: u32,
    bits: u32,
}

impl Description {
    fn parse(file: &mut Header, at: u64) -> Result<Self> {
        let mut number = |offset| file.array(at + offset).map(u32::from_be_bytes);
        let (flags, packet_bytes, packet_frames) = (number(12)?, number(16)?, number(20)?);
        let (channels, bits) = (number(24)?, number(28)?);
        let description = Self {
            sample_rate: f64::from_be_bytes(file.array(at)?) as u32,
            coding: file.array(at + 8)?,
            flags,
            packet_bytes,
            packet_frames,
            channels,
            bits,
        };
        if channels == 0 {
            return Err(Error::other("it has zero channels"));
        }
        let ima = description.coding == *b"ima4"
            && (packet_frames, packet_bytes) != (IMA_FRAMES, IMA_BYTES.saturating_mul(channels));
        if channels > MOST_CHANNELS || packet_frames > MOST_FRAMES || ima {
            return Err(Error::other(format!(
                "it claims {channels} channels, and packets of {packet_bytes} bytes and \
                 {packet_frames} frames"
            )));
        }
        Ok(description)
    }

    /// How samples are stored; none where they are coded.
    fn encoding(&self) -> Result<Option<Encoding>> {
        let container = u64::from(self.packet_bytes / self.channels);
        let kind = match &self.coding {
            b"lpcm" if self.flags & FLOAT != 0 => Kind::float(container),
            b"lpcm" if container == 4 && self.bits == 24 => Some(Kind::Signed24In32),
            b"lpcm" => Kind::signed(container),
            b"alaw" => Some(Kind::ALaw),
            b"ulaw" => Some(Kind::MuLaw),
            _ => return Ok(None),
        };
        let bytes = self.packet_bytes;
        let kind = kind
            .filter(|kind| {
                u64::from(bytes) == kind.bytes() * u64::from(self.channels)
                    && self.packet_frames == 1
            })
            .ok_or_else(|| {
                Error::other(format!(
                    "samples of {} bits, in packets of {bytes} bytes and {} frames, are not read",
                    self.bits, self.packet_frames
                ))
            })?;
        Ok(Some(Encoding { kind, big_endian: self.flags & LITTLE_ENDIAN == 0 }))
    }
}
