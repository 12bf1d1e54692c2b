//! Optimiser kernels.

pub mod accumulate;
pub mod adam;
