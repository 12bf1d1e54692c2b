//! Random changes to a file: what broken disks, cut downloads, careless programs and attackers make.

use rand::{Rng, RngExt, seq::IndexedRandom};

/// The most changes to one input.
const MOST_CHANGES: usize = 8;

/// Where headers are: a change is as likely here as anywhere else together.
const FRONT: usize = 600;

/// Text that manifests, presets and JSON stumble over.
const WORDS: [&str; 24] = [
    "\"",
    "'",
    ",",
    "\t",
    "\n",
    "\r",
    "\0",
    "\u{feff}",
    "|",
    ";",
    "[",
    "]",
    "{",
    "}",
    "=",
    "-1",
    "0",
    "NaN",
    "1e999",
    "18446744073709551616",
    "999999999",
    "null",
    "é",
    "../..",
];

/// A changed copy of `bytes`; `other` is something of the same kind, of which parts may be put in.
pub fn mutate(bytes: &[u8], other: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..rng.random_range(1..=MOST_CHANGES) {
        change(&mut changed, other, rng);
        // Few changes find what many hide.
        if rng.random_bool(0.4) {
            break;
        }
    }
    changed
}

fn change(bytes: &mut Vec<u8>, other: &[u8], rng: &mut impl Rng) {
    if bytes.is_empty() {
        bytes.push(rng.random());
        return;
    }
    let front = bytes.len().min(FRONT);
    let reach = if rng.random_bool(0.5) { front } else { bytes.len() };
    let at = rng.random_range(0..reach);
    let most = 1 << rng.random_range(0..12);
    let length = rng.random_range(1..=most.min(bytes.len() - at));
    match rng.random_range(0..12) {
        0 | 1 => bytes[at] ^= 1 << rng.random_range(0..8),
        2 => bytes[at] = *[0, 1, 0x7f, 0x80, 0xff].choose(rng).expect("there are some"),
        3..=5 => write_number(bytes, at, rng),
        6 => bytes.truncate(at),
        7 => drop(bytes.drain(at..at + length)),
        8 => {
            let copy = bytes[at..at + length].to_vec();
            bytes.splice(at..at, copy);
        }
        9 if !other.is_empty() => {
            let from = rng.random_range(0..other.len());
            let part = &other[from..other.len().min(from + length)];
            bytes.splice(at..at, part.iter().copied());
        }
        10 => {
            let word = WORDS.choose(rng).expect("there are some");
            bytes.splice(at..at, word.bytes());
        }
        _ => rng.fill(&mut bytes[at..at + length.min(16)]),
    }
}

/// Puts a number where a length, a count or a position may stand.
fn write_number(bytes: &mut [u8], at: usize, rng: &mut impl Rng) {
    let size = *[2, 4, 4, 8].choose(rng).expect("there are some");
    let Some(place) = bytes.get_mut(at..at + size) else { return };
    let mut old = [0; 8];
    old[8 - size..].copy_from_slice(place);
    let old = u64::from_be_bytes(old);
    let number = match rng.random_range(0..6) {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << rng.random_range(0..64),
        3 => old.wrapping_add(1),
        4 => old.wrapping_sub(1),
        _ => old.rotate_left(8),
    };
    let big = number.to_be_bytes();
    place.copy_from_slice(&big[8 - size..]);
    if rng.random_bool(0.5) {
        place.reverse();
    }
}

/// Gives the pages of an Ogg file the checksums that they should have: a reader that believes no
/// damaged page would else see nothing of most changes.
pub fn mend_ogg(bytes: &mut [u8]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(4).position(|four| four == b"OggS") {
        at += found;
        let Some(&segments) = bytes.get(at + 26) else { return };
        let body = at + 27 + usize::from(segments);
        let Some(lacing) = bytes.get(at + 27..body) else { return };
        let end = body + lacing.iter().map(|&length| usize::from(length)).sum::<usize>();
        let Some(page) = bytes.get_mut(at..end) else { return };
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
                sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 }
            })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at = end;
    }
}
