//! TensorBoard's event file: scalars by tag and update, in TFRecord frames.
//!
//! A frame is the length of an `Event` message (u64), the masked CRC32C of those eight bytes (u32),
//! the message, and the masked CRC32C of the message (u32), all little-endian.

use std::path::Path;

use prost::Message;

use crate::{Error, Result};

/// The first event of a file says which form the others have.
const FILE_VERSION: &str = "brain.Event:2";

/// A frame's bytes before its message: length and checksum.
const HEAD_BYTES: usize = 12;
/// A frame's bytes after its message: the checksum.
const TAIL_BYTES: usize = 4;

/// The parts of `tensorflow.Event` that scalars need.
#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// What is known after an update.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalars {
    /// Updates in all.
    pub update: u64,
    /// By tag, such as `loss/train`.
    pub values: Vec<(String, f32)>,
}

/// The frame that a file begins with.
pub fn head() -> Vec<u8> {
    frame(&Event { file_version: Some(FILE_VERSION.to_owned()), ..Event::default() })
}

impl Scalars {
    /// Their frame. The wall time is the update's number taken for seconds, not the clock's, so that
    /// equal training writes equal bytes.
    pub fn frame(&self) -> Vec<u8> {
        let value = self
            .values
            .iter()
            .map(|(tag, value)| Value { tag: tag.clone(), simple_value: Some(*value) });
        frame(&Event {
            wall_time: self.update as f64,
            step: self.update as i64,
            file_version: None,
            summary: Some(Summary { value: value.collect() }),
        })
    }
}

fn frame(event: &Event) -> Vec<u8> {
    let message = event.encode_to_vec();
    let length = (message.len() as u64).to_le_bytes();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + message.len() + TAIL_BYTES);
    bytes.extend(length);
    bytes.extend(masked_checksum(&length).to_le_bytes());
    bytes.extend(&message);
    bytes.extend(masked_checksum(&message).to_le_bytes());
    bytes
}

/// TFRecord's mask, which keeps a checksum of data that holds checksums from being trivial.
fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Every whole event with scalars in the file at `path`; none where there is no file. A frame that a
/// kill cut off, or that a disk garbled, ends the reading.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> Result<Vec<Scalars>> {
    let bytes = match std::fs::read(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        bytes => bytes.map_err(|error| Error::io("read", path, &error))?,
    };
    let mut rest = &bytes[..];
    let mut scalars = Vec::new();
    while let Some((event, after)) = split_frame(rest) {
        rest = after;
        if let Some(summary) = event.summary {
            let value = |value: Value| Some((value.tag, value.simple_value?));
            let values = summary.value.into_iter().filter_map(value).collect();
            scalars.push(Scalars { update: event.step as u64, values });
        }
    }
    Ok(scalars)
}

/// The first event and what follows it.
fn split_frame(bytes: &[u8]) -> Option<(Event, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_checksum, rest) = rest.split_first_chunk()?;
    let size = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (message, rest) = rest.split_at_checked(size)?;
    let (message_checksum, rest) = rest.split_first_chunk()?;
    let whole = masked_checksum(length) == u32::from_le_bytes(*length_checksum)
        && masked_checksum(message) == u32::from_le_bytes(*message_checksum);
    Some((Event::decode(message).ok().filter(|_| whole)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_that_tensorboard_writes() {
        // What tensorboard.summary.writer.record_writer.RecordWriter makes of
        // Event(file_version="brain.Event:2").
        let mut written = vec![15, 0, 0, 0, 0, 0, 0, 0, 0x6d, 0x53, 0x2b, 0x09];
        written.extend(b"\x1a\x0dbrain.Event:2\xfc\x98\x51\x29");
        assert_eq!(head(), written);
    }

    #[test]
    fn what_is_written_is_read_up_to_the_first_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        assert_eq!(read(&path).unwrap(), []);
        let scalars: Vec<Scalars> = (1..4)
            .map(|update| Scalars {
                update,
                values: vec![("a".into(), 0.5), ("b/ü".into(), update as f32)],
            })
            .collect();
        let mut bytes = head();
        scalars.iter().for_each(|scalars| bytes.extend(scalars.frame()));
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&path).unwrap(), scalars);
        // Cut off or flipped anywhere in the last frame.
        let last = scalars[2].frame().len();
        for at in bytes.len() - last..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 4;
            for bad in [&flipped, &bytes[..at]] {
                std::fs::write(&path, bad).unwrap();
                assert_eq!(read(&path).unwrap(), scalars[..2], "byte {at}");
            }
        }
    }
}
