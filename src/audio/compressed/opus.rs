//! Opus in Ogg. Symphonia finds its packets, and `opus_pure` decodes a stream of one or two channels
//! (RFC 6716). What Ogg adds to them (RFC 7845) is read here: several streams in a packet, the stream
//! that each channel comes from, and a gain.

use opus_pure::{MAX_PACKET_SAMPLES, OpusDecoder, packet};
use symphonia::core::audio::{
    AsGenericAudioBufferRef, AudioBuffer, AudioMut, AudioSpec, Channels, GenericAudioBufferRef,
};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, FinalizeResult};
use symphonia::core::errors::{Result, decode_error, unsupported_error};
use symphonia::core::packet::PacketRef;

/// Every stream is decoded at this rate, whatever was encoded.
const SAMPLE_RATE: u32 = 48_000;

/// The most frames of a packet: 120 ms.
pub const MOST_FRAMES: i64 = MAX_PACKET_SAMPLES as i64;

/// Frames decoded before a stretch. After the standard's 80 ms no past is missed; after 800 ms, music is
/// what it is in the whole file, to the bit. Speech that holds a pitch keeps a difference for longer.
pub const LEAD_IN: u64 = 48_000;

/// The most channels of a file, and of its streams together: those of 7.1.
const MOST_CHANNELS: usize = 8;

const INFO: CodecInfo = CodecInfo { short_name: "opus", long_name: "Opus", profiles: &[] };

/// The frames of the packet that begins so; none where it has none.
pub fn frames_of(begin: &[u8]) -> Option<i64> {
    let frames = packet::samples_48k(begin).ok().filter(|frames| *frames > 0)?;
    i64::try_from(frames).ok()
}

/// Gives one channel, the average of the file's: which of them is which need not be known then.
pub struct Decoder {
    parameters: AudioCodecParameters,
    streams: Vec<Stream>,
    /// A stream's frames, its channels in turn.
    decoded: Vec<f32>,
    average: AudioBuffer<f32>,
}

struct Stream {
    decoder: OpusDecoder,
    /// What each of its channels adds to the average, with the gain: a part for every channel of the
    /// file that it is.
    parts: Vec<f64>,
}

impl Decoder {
    /// # Errors
    /// The header is cut or wrong, or of a kind whose channels cannot be averaged.
    pub fn new(parameters: &AudioCodecParameters) -> Result<Self> {
        let header = Header::parse(parameters.extra_data.as_deref().unwrap_or_default())?;
        let mut streams = Vec::new();
        let mut part = header.parts();
        for number in 0..header.streams {
            let channels = if number < header.coupled { 2 } else { 1 };
            let Ok(decoder) = OpusDecoder::new(SAMPLE_RATE as i32, channels) else {
                return unsupported_error("a stream that its decoder does not take");
            };
            streams.push(Stream { decoder, parts: part.by_ref().take(channels).collect() });
        }
        let spec = AudioSpec::new(SAMPLE_RATE, Channels::Discrete(1));
        Ok(Self {
            parameters: parameters.clone(),
            streams,
            decoded: vec![0.0; 2 * MAX_PACKET_SAMPLES],
            average: AudioBuffer::new(spec, MAX_PACKET_SAMPLES),
        })
    }

    fn decode_streams(&mut self, mut bytes: &[u8]) -> Result<()> {
        // No bytes would be a loss, which the decoder makes something up for.
        let Ok(frames @ 1..=MAX_PACKET_SAMPLES) = packet::samples_48k(bytes) else {
            return decode_error("a packet of no length that there is");
        };
        self.average.resize_with_silence(frames);
        let average = self.average.plane_mut(0).expect("it has a channel");
        let last = self.streams.len() - 1;
        for (number, stream) in self.streams.iter_mut().enumerate() {
            let own;
            let packet = if number == last {
                bytes
            } else {
                let Some((first, rest)) = first_of_several(bytes) else {
                    return decode_error("a packet that lacks some of its streams");
                };
                (own, bytes) = (first, rest);
                &own
            };
            let channels = stream.parts.len();
            let decoded = &mut self.decoded[..frames * channels];
            let as_long = packet::samples_48k(packet).is_ok_and(|own| own == frames);
            let heard = as_long && stream.decoder.decode(packet, frames, decoded).is_ok();
            if !heard {
                return decode_error("a packet that cannot be decoded");
            }
            for (sum, frame) in average.iter_mut().zip(decoded.chunks(channels)) {
                let channels = frame.iter().zip(&stream.parts);
                *sum += channels.map(|(&one, part)| f64::from(one) * part).sum::<f64>() as f32;
            }
        }
        Ok(())
    }
}

impl AudioDecoder for Decoder {
    fn reset(&mut self) {
        for stream in &mut self.streams {
            // It fails for settings that no decoder was made with.
            let _ = stream.decoder.reset_state();
        }
    }

    fn codec_info(&self) -> &CodecInfo {
        &INFO
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.parameters
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.average.clear();
        if let Err(error) = self.decode_streams(packet.data) {
            self.average.clear();
            return Err(error);
        }
        Ok(self.last_decoded())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.average.as_generic_audio_buffer_ref()
    }
}

/// What a stream's first packet says of its channels.
struct Header {
    /// Those of two channels come first.
    streams: usize,
    coupled: usize,
    /// For each channel of the file, which of the streams' it is.
    mapping: Vec<u8>,
    /// A factor.
    gain: f64,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self> {
        let Some(&[.., version, channels, _, _, _, _, _, _, low, high, family]) =
            bytes.first_chunk::<19>()
        else {
            return decode_error("a header that is cut");
        };
        // The lower half of the version may rise without a change that matters here.
        if version >> 4 != 0 {
            return unsupported_error("a newer version of Opus in Ogg");
        }
        let decibels = f64::from(i16::from_le_bytes([low, high])) / 256.0;
        let gain = 10f64.powf(decibels / 20.0);
        let channels = usize::from(channels);
        if channels > MOST_CHANNELS {
            return unsupported_error("Opus of more than 8 channels");
        }
        let (streams, coupled, mapping) = match (family, channels, bytes.get(19..)) {
            (0, 1, _) => (1, 0, &[0][..]),
            (0, 2, _) => (1, 1, &[0, 1][..]),
            (1 | 255, 1.., Some([streams, coupled, mapping @ ..])) => {
                (usize::from(*streams), usize::from(*coupled), mapping)
            }
            (0 | 1 | 255, ..) => return decode_error("a header of other channels than it has"),
            // Of an ambisonic sound, the sum of the channels is not the sound.
            _ => return unsupported_error("Opus whose channels are no loudspeakers"),
        };
        let held = streams + coupled;
        let Some(mapping) = mapping.get(..channels) else {
            return decode_error("a header that is cut");
        };
        let wrong = |&channel: &u8| channel != SILENT && usize::from(channel) >= held;
        if streams == 0 || coupled > streams || held > MOST_CHANNELS || mapping.iter().any(wrong) {
            return decode_error("a header of streams that cannot be");
        }
        Ok(Self { streams, coupled, mapping: mapping.to_vec(), gain })
    }

    /// For each channel of the streams, what it adds to the average.
    fn parts(&self) -> impl Iterator<Item = f64> {
        (0..self.streams + self.coupled).map(|held| {
            let times =
                self.mapping.iter().filter(|&&channel| usize::from(channel) == held).count();
            self.gain * times as f64 / self.mapping.len() as f64
        })
    }
}

/// A channel of no stream.
const SILENT: u8 = 255;

/// The packet of the first stream as that stream alone would have it, and the bytes of the others. All
/// but the last are packed with one length more (RFC 6716, appendix B), which is left away.
fn first_of_several(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    const PADDED: u8 = 0x40;
    const VARIABLE: u8 = 0x80;
    let mut at = 1;
    // Bytes of frames and of padding whose number is said anyway, and frames of the length that is left away.
    let (mut said, mut alike) = (0, 1);
    match bytes.first()? & 3 {
        0 => {}
        1 => alike = 2,
        2 => said += frame_length(bytes, &mut at)?,
        _ => {
            let count = *bytes.get(at)?;
            at += 1;
            let mut goes_on = count & PADDED != 0;
            while goes_on {
                let more = *bytes.get(at)?;
                at += 1;
                said += usize::from(more.min(254));
                goes_on = more == 255;
            }
            alike = usize::from(count & 0x3f);
            if count & VARIABLE != 0 {
                for _ in 1..alike {
                    said += frame_length(bytes, &mut at)?;
                }
                alike = 1;
            }
        }
    }
    let header = &bytes[..at];
    let end = said + alike * frame_length(bytes, &mut at)? + at;
    let frames = bytes.get(at..end)?;
    Some(([header, frames].concat(), &bytes[end..]))
}

fn frame_length(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let first = usize::from(*bytes.get(*at)?);
    *at += 1;
    if first < 252 {
        return Some(first);
    }
    let second = usize::from(*bytes.get(*at)?);
    *at += 1;
    Some(first + 4 * second)
}

#[cfg(test)]
mod tests {
    use super::first_of_several;

    /// Each way to pack frames: the bytes of the first stream with its own length, and without.
    #[test]
    fn streams_are_unpacked_as_they_were_packed() {
        let rest = [9, 9];
        for (packed, alone) in [
            (&[0xf8, 2, 1, 2][..], &[0xf8, 1, 2][..]),
            (&[0xf9, 2, 1, 2, 3, 4], &[0xf9, 1, 2, 3, 4]),
            (&[0xfa, 1, 2, 5, 6, 7], &[0xfa, 1, 5, 6, 7]),
            (&[0xfb, 3, 1, 5, 6, 7], &[0xfb, 3, 5, 6, 7]),
            (&[0xfb, 0x43, 2, 1, 5, 6, 7, 0, 0], &[0xfb, 0x43, 2, 5, 6, 7, 0, 0]),
            (&[0xfb, 0x83, 1, 0, 2, 5, 6, 7], &[0xfb, 0x83, 1, 0, 5, 6, 7]),
            (&[0xf8, 0], &[0xf8]),
        ] {
            let several = [packed, &rest].concat();
            assert_eq!(first_of_several(&several), Some((alone.to_vec(), &rest[..])), "{packed:?}");
            for cut in 0..packed.len() {
                assert_eq!(first_of_several(&packed[..cut]), None, "{packed:?} {cut}");
            }
        }
        let long = [&[0xf8, 253, 10][..], &[7; 293]].concat();
        assert_eq!(first_of_several(&long), Some(([&[0xf8][..], &[7; 293]].concat(), &[][..])));
    }
}
