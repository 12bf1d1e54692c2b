//! What an adapter can do at best; `cargo xtask bench` compares the other kernels with it.

pub mod copy;
pub mod multiply_add;
