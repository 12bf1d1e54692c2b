//! The model: what a preset describes, its tensors, the plans it compiles into, its files.

mod block;
mod branch;
pub mod checkpoint;
mod handcrafted;
pub mod layers;
mod lstm;
mod network;
pub mod onnx;
mod packing;
pub mod parameters;
pub mod preset;
mod rnn;

pub use network::{Network, Program};
