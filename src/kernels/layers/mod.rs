//! Kernels of the network's layers.

pub mod dense;
pub mod dropout;
