//! What the file of an entry holds: its key, what was noticed about the audio, and the values.

use super::Key;

const MAGIC: [u8; 8] = *b"moodfeat";

/// Magic, key, number of values, checksum of remarks and values, remarks.
pub(super) const HEADER_BYTES: usize = 8 + 32 + 8 + 32 + 4;

/// What was noticed about a clip's audio when its features were computed. It is kept with them, so
/// that every run can tell it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// The file is shorter than the clip, and the rest is silence.
    pub padded: bool,
    /// The file ends before its header says.
    pub truncated: bool,
    /// Parts of the file could not be decoded and are silent.
    pub damaged: bool,
}

/// What is kept under a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The features.
    pub values: Vec<f32>,
    /// What was noticed about the audio.
    pub remarks: Remarks,
}

impl Remarks {
    /// A bit each.
    fn word(self) -> u32 {
        [self.padded, self.truncated, self.damaged]
            .into_iter()
            .rev()
            .fold(0, |word, noticed| word << 1 | u32::from(noticed))
    }

    fn of_word(word: u32) -> Self {
        let noticed = |bit: u32| word >> bit & 1 == 1;
        Self { padded: noticed(0), truncated: noticed(1), damaged: noticed(2) }
    }
}

/// The bytes of an entry.
pub(super) fn encode(key: Key, values: &[f32], remarks: Remarks) -> Vec<u8> {
    let mut checked = remarks.word().to_le_bytes().to_vec();
    checked.reserve(4 * values.len());
    checked.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    [&header(key, &checked)[..], &checked].concat()
}

/// The entry of these bytes, unless they are damaged or another key's.
pub(super) fn decode(bytes: &[u8], key: Key) -> Option<Entry> {
    let (front, checked) = bytes.split_at_checked(HEADER_BYTES - 4)?;
    let (word, payload) = checked.split_first_chunk()?;
    let (values, rest) = payload.as_chunks();
    (rest.is_empty() && front == header(key, checked)).then(|| Entry {
        values: values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        remarks: Remarks::of_word(u32::from_le_bytes(*word)),
    })
}

/// All of the header but the remarks, which begin what is `checked`.
fn header(key: Key, checked: &[u8]) -> Vec<u8> {
    let values = (checked.len() / 4 - 1) as u64;
    [&MAGIC[..], key.hash.as_bytes(), &values.to_le_bytes(), blake3::hash(checked).as_bytes()]
        .concat()
}
