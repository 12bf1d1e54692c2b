//! Music-mood tagging, trained and run in hand-written WGSL compute shaders.
//!
//! ARCHITECTURE.md follows the data through these modules.

pub mod cli;
pub mod error;
pub mod exec;
pub mod kernels;
pub mod plan;

pub use error::{Error, Result};
