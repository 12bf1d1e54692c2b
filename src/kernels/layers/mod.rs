//! Kernels of the network's layers.

pub mod conv;
pub mod dense;
pub mod dropout;
