//! Max pooling. It runs on what batch norm has yet to scale, so that the full-size normalised
//! activation never exists; `batch_norm/backward` undoes both.

pub mod forward;
