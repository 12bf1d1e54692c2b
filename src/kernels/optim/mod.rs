//! Optimiser kernels.

pub mod adam;
