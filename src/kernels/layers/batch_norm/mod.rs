//! Batch norm, as PyTorch defines it. Training and inference both end in a scale and a shift per
//! channel, which the next kernel applies as it reads; vectors are normalised at once.

pub mod backward;
pub mod gradient_reduce;
pub mod gradient_sums;
pub mod inference;
pub mod statistics;
pub mod vector_backward;
pub mod vector_forward;
pub mod vector_inference;

/// Added to the variance.
pub const EPSILON: f32 = 1e-5;
/// Weight of the newest batch in the running statistics.
pub const MOMENTUM: f32 = 0.1;
