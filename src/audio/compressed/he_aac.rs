//! Whether AAC is HE-AAC: AAC of half the rate, with what makes the upper half of the band (SBR)
//! hidden where older decoders do not look. The decoder here is one of those, and would hear half
//! of the band as if it were all.

/// Codes of ISO/IEC 14496-3: what configurations call AAC-LC, SBR and SBR with parametric stereo;
/// what marks an extension behind a configuration; elements of a frame; and extensions in one of
/// these.
const AAC_LC: u32 = 2;
const SBR: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;
const EXTENSION: u32 = 0x2b7;
const FILL: u32 = 6;
const END: u32 = 7;
const SBR_DATA: [u32; 2] = [0xd, 0xe];
/// The count of a fill element that says that more than 14 bytes follow.
const LONG: usize = 15;
const MOST_BYTES: usize = LONG - 1 + 255;

/// Whether the decoder's configuration (an `AudioSpecificConfig`) says so.
pub fn in_configuration(configuration: &[u8]) -> bool {
    let mut bits = Bits { bytes: configuration, at: 0 };
    match bits.object_type() {
        Some(SBR | PARAMETRIC_STEREO) => return true,
        Some(AAC_LC) => {}
        _ => return false,
    }
    let extension = || -> Option<bool> {
        bits.rate()?;
        if bits.take(4)? == 0 {
            return None; // channels of a kind that the decoder refuses
        }
        bits.take(1)?; // the length of a frame
        if bits.take(1)? == 1 {
            bits.take(14)?; // a delay
        }
        bits.take(1)?;
        let present = bits.take(11)? == EXTENSION
            && matches!(bits.object_type()?, SBR | PARAMETRIC_STEREO)
            && bits.take(1)? == 1;
        Some(present)
    };
    let mut extension = extension;
    extension().unwrap_or(false)
}

/// Whether a frame ends as one does that has SBR in it: with a fill element of that kind before the
/// end mark, perhaps with another fill element between. A frame's beginning cannot be passed over
/// without decoding it, so that this is read from behind; by chance one frame in some fifty looks
/// so.
pub fn in_frame(frame: &[u8]) -> bool {
    // Zeros fill the last byte up behind the end mark, which is three set bits.
    let Some(last) = frame.iter().rposition(|&byte| byte != 0) else { return false };
    let end = 8 * (last + 1) - frame[last].trailing_zeros() as usize;
    let bits = Bits { bytes: frame, at: 0 };
    if end < 3 || bits.peek(end - 3, 3) != Some(END) {
        return false;
    }
    fills_before(bits, end - 3).any(|(start, kind)| {
        SBR_DATA.contains(&kind)
            || fills_before(bits, start).any(|(_, kind)| SBR_DATA.contains(&kind))
    })
}

/// Where fill elements might begin that end at bit `end`, and the kind of extension in each.
fn fills_before(bits: Bits<'_>, end: usize) -> impl Iterator<Item = (usize, u32)> {
    (1..=MOST_BYTES)
        .map_while(move |bytes| {
            let content = end.checked_sub(8 * bytes)?;
            // The element's code, a count of four bits, and where that is full another of eight.
            let (start, count) = if bytes < LONG {
                (content.checked_sub(7)?, bits.peek(content - 4, 4)? as usize)
            } else {
                let start = content.checked_sub(15)?;
                let full = bits.peek(content - 12, 4)? as usize == LONG;
                let more = bits.peek(content - 8, 8)? as usize;
                (start, if full { LONG - 1 + more } else { 0 })
            };
            let fits = count == bytes && bits.peek(start, 3) == Some(FILL);
            Some((fits, start, bits.peek(content, 4)?))
        })
        .filter_map(|(fits, start, kind)| fits.then_some((start, kind)))
}

#[derive(Clone, Copy)]
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn peek(&self, at: usize, count: usize) -> Option<u32> {
        (at..at + count).try_fold(0, |value, at| {
            let byte = self.bytes.get(at / 8)?;
            Some(value << 1 | u32::from(byte >> (7 - at % 8) & 1))
        })
    }

    fn take(&mut self, count: usize) -> Option<u32> {
        let value = self.peek(self.at, count)?;
        self.at += count;
        Some(value)
    }

    fn object_type(&mut self) -> Option<u32> {
        match self.take(5)? {
            31 => Some(32 + self.take(6)?),
            short => Some(short),
        }
    }

    fn rate(&mut self) -> Option<u32> {
        match self.take(4)? {
            15 => self.take(24),
            index => Some(index),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_that_say_so() {
        // AAC-LC at 44.1 kHz in stereo, without and with an extension (SBR "not there", "there"),
        // and HE-AAC said at the beginning.
        assert!(!in_configuration(&[0x12, 0x10]));
        assert!(!in_configuration(&[0x13, 0x90, 0x56, 0xe5, 0x00]));
        assert!(in_configuration(&[0x13, 0x90, 0x56, 0xe5, 0xa0]));
        assert!(in_configuration(&[0x2b, 0x92, 0x08, 0x00]));
        assert!(!in_configuration(&[]));
    }

    /// A frame of `before` bits of anything, elements, and the end mark.
    fn frame(before: usize, elements: &[(usize, u32)]) -> Vec<u8> {
        let mut bits: String = "01".repeat(before / 2 + 1)[..before].into();
        for &(bytes, kind) in elements {
            bits += "110";
            bits += &match bytes {
                0..LONG => format!("{bytes:04b}"),
                _ => format!("1111{:08b}", bytes + 1 - LONG),
            };
            bits += &format!("{kind:04b}{}", "0".repeat(8 * bytes - 4));
        }
        bits += "111";
        bits += &"0".repeat(bits.len().next_multiple_of(8) - bits.len());
        bits.as_bytes()
            .chunks(8)
            .map(|byte| byte.iter().fold(0, |value, bit| value << 1 | (bit - b'0')))
            .collect()
    }

    #[test]
    fn frames_that_hold_it() {
        for before in 400..408 {
            for bytes in [1, 3, 14, 15, 60, 269] {
                assert!(in_frame(&frame(before, &[(bytes, 0xd)])), "{before} {bytes}");
                assert!(in_frame(&frame(before, &[(bytes, 0xe), (2, 0)])), "{before} {bytes}");
                assert!(!in_frame(&frame(before, &[(bytes, 0)])), "{before} {bytes}");
            }
            assert!(!in_frame(&frame(before, &[])));
        }
        assert!(!in_frame(&[]));
        assert!(!in_frame(&[0; 9]));
    }
}
