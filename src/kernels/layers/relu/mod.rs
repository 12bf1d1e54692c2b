//! ReLU after a dense layer; convolutions have theirs inside.

pub mod backward;
pub mod forward;
