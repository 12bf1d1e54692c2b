//! Softmax over each clip's moods, in inference; where there are targets, the
//! loss computes it.

pub mod forward;
