//! Optimiser kernels.

pub mod accumulate;
pub mod adam;
pub mod average;
