//! How samples are stored that are not coded, or coded one by one.

/// The bytes of one sample of one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    pub kind: Kind,
    pub big_endian: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unsigned8,
    Signed8,
    Signed16,
    Signed24,
    /// In the three less significant of four bytes, as ALSA records it.
    Signed24In32,
    Signed32,
    Float32,
    Float64,
    /// ITU-T G.711.
    ALaw,
    MuLaw,
}

impl Kind {
    /// Integers whose most significant bit is that of a container of so many bytes: fewer bits than
    /// the container has stand at its top, and those below are zero or noise.
    pub fn signed(container: u64) -> Option<Self> {
        Some(match container {
            1 => Self::Signed8,
            2 => Self::Signed16,
            3 => Self::Signed24,
            4 => Self::Signed32,
            _ => return None,
        })
    }

    /// IEEE 754.
    pub fn float(container: u64) -> Option<Self> {
        Some(match container {
            4 => Self::Float32,
            8 => Self::Float64,
            _ => return None,
        })
    }

    pub fn bytes(self) -> u64 {
        match self {
            Self::Unsigned8 | Self::Signed8 | Self::ALaw | Self::MuLaw => 1,
            Self::Signed16 => 2,
            Self::Signed24 => 3,
            Self::Signed24In32 | Self::Signed32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }
}

impl Encoding {
    /// Appends the average of the channels of every frame; integers are divided by 2^(bits - 1).
    pub fn average(self, frames: &[u8], channels: usize, mono: &mut Vec<f32>) {
        let int = |bits: i32| 2f64.powi(1 - bits);
        let to = Average { frames, channels, big_endian: self.big_endian };
        match self.kind {
            Kind::Unsigned8 => to.append(mono, int(8), |[b]: [u8; 1]| f64::from(b) - 128.0),
            Kind::Signed8 => to.append(mono, int(8), |b| f64::from(i8::from_le_bytes(b))),
            Kind::Signed16 => to.append(mono, int(16), |b| f64::from(i16::from_le_bytes(b))),
            Kind::Signed24 => to.append(mono, int(24), |[a, b, c]: [u8; 3]| {
                f64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
            }),
            Kind::Signed24In32 => to.append(mono, int(24), |[a, b, c, _]| {
                f64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
            }),
            Kind::Signed32 => to.append(mono, int(32), |b| f64::from(i32::from_le_bytes(b))),
            Kind::Float32 => to.append(mono, 1.0, |b| f64::from(f32::from_le_bytes(b))),
            Kind::Float64 => to.append(mono, 1.0, f64::from_le_bytes),
            Kind::ALaw => to.append(mono, int(16), |[b]: [u8; 1]| f64::from(a_law(b))),
            Kind::MuLaw => to.append(mono, int(16), |[b]: [u8; 1]| f64::from(mu_law(b))),
        }
    }
}

struct Average<'a> {
    frames: &'a [u8],
    channels: usize,
    big_endian: bool,
}

impl Average<'_> {
    /// `value` gets the bytes of a sample, the least significant first.
    fn append<const BYTES: usize>(
        &self,
        mono: &mut Vec<f32>,
        unit: f64,
        value: impl Fn([u8; BYTES]) -> f64,
    ) {
        let scale = unit / self.channels as f64;
        let (samples, _) = self.frames.as_chunks::<BYTES>();
        let frames = samples.chunks_exact(self.channels);
        if self.big_endian {
            let value = |bytes: &[u8; BYTES]| {
                let mut bytes = *bytes;
                bytes.reverse();
                value(bytes)
            };
            mono.extend(frames.map(|f| (f.iter().map(value).sum::<f64>() * scale) as f32));
        } else {
            let value = |bytes: &[u8; BYTES]| value(*bytes);
            mono.extend(frames.map(|f| (f.iter().map(value).sum::<f64>() * scale) as f32));
        }
    }
}

/// 13 bits at the top of 16. Every second bit is stored inverted.
fn a_law(byte: u8) -> i16 {
    let bits = byte ^ 0x55;
    let (exponent, mantissa) = (bits >> 4 & 7, i16::from(bits & 0xf) << 4);
    let magnitude = match exponent {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    if bits & 0x80 == 0 { -magnitude } else { magnitude }
}

/// 14 bits at the top of 16. All bits are stored inverted.
fn mu_law(byte: u8) -> i16 {
    let bits = !byte;
    let magnitude = ((i16::from(bits & 0xf) << 3) + 0x84) << (bits >> 4 & 7);
    if bits & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn companded_samples_have_the_values_of_g711() {
        // Of the smallest, the largest, and one between, from the tables of the recommendation.
        let a = [0x55, 0xd5, 0x2a, 0xaa, 0x80].map(a_law);
        assert_eq!(a, [-8, 8, -32256, 32256, 5504]);
        let mu = [0xff, 0x7f, 0x00, 0x80, 0xaa].map(mu_law);
        assert_eq!(mu, [0, 0, -32124, 32124, 5372]);
    }

    #[test]
    fn bytes_may_stand_in_either_order() {
        let mut mono = Vec::new();
        for big_endian in [false, true] {
            let mut bytes = [0x00, 0x10, 0x20, 0xf0, 0xff, 0x3f];
            if big_endian {
                bytes.reverse();
            }
            let encoding = Encoding { kind: Kind::Signed24, big_endian };
            encoding.average(&bytes, 1, &mut mono);
        }
        assert_eq!(mono[0], mono[3]);
        assert_eq!(mono[1], mono[2]);
    }
}
