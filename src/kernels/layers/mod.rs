//! Kernels of the network's layers.

pub mod augment;
pub mod batch_norm;
pub mod conv;
pub mod dense;
pub mod dropout;
pub mod front;
pub mod lstm;
pub mod map;
pub mod pack;
pub mod pool;
pub mod relu;
pub mod sequence;
pub mod sigmoid;
pub mod softmax;
