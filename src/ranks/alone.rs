//! What stands in the place of `mpi.rs` in a build without it: one process, which exchanges nothing.

use std::time::Duration;

use super::{Ending, Ranks};
use crate::{Error, Result};

const NOBODY: &str = "there are no other ranks";

/// Refuses to be one of several.
pub fn begin() -> Result<Ranks> {
    match super::started_with() {
        Some(count) if count > 1 => Err(Error::input(format!(
            "this is one of {count} processes that were started together, and this build cannot share \
             work among them: build with cargo build --release --features mpi, or start it without \
             mpirun"
        ))),
        _ => Ok(Ranks::ALONE),
    }
}

pub fn finish() {}

pub fn meet(_: Option<Duration>) -> bool {
    unreachable!("{NOBODY}")
}

pub fn all_to_all(_: &[f32]) -> Vec<f32> {
    unreachable!("{NOBODY}")
}

pub fn all_gather(_: &[f32], _: usize) -> Vec<f32> {
    unreachable!("{NOBODY}")
}

pub fn all_gather_bytes(_: &[u8], _: usize) -> Result<Vec<Vec<u8>>> {
    unreachable!("{NOBODY}")
}

pub fn broadcast(_: Vec<u8>) -> Result<Vec<u8>> {
    unreachable!("{NOBODY}")
}

pub fn end(_: usize, _: usize, _: Option<&str>) -> Ending {
    unreachable!("{NOBODY}")
}

pub fn abort(_: u8) -> ! {
    unreachable!("{NOBODY}")
}
