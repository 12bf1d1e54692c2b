//! A sigmoid for each mood, in inference; where there are targets, the loss computes it.

pub mod forward;
