//! The model: what a preset describes, its layers, the plans that it compiles into, its files.

mod architecture;
mod augmentation;
pub mod bench;
pub mod builtin;
pub mod checkpoint;
mod embedder;
mod graph;
pub mod layers;
mod network;
pub mod onnx;
pub mod outline;
mod packing;
pub mod parameters;
mod planning;
pub mod preset;
mod session;
mod sharing;

pub use embedder::{Embedder, Made};
pub use graph::Graph;
pub use network::{Handles, Network, Program};
pub use planning::Purpose;
pub use session::{Contribution, Inputs, Judgement, Session, Update};
pub use sharing::GradientParts;
