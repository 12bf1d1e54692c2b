//! The model: what a preset describes, its tensors, the plans it compiles into, its files.

mod branch;
pub mod checkpoint;
mod network;
pub mod parameters;
pub mod preset;

pub use network::{Network, Program};
