//! Softmax over each clip's moods, in prediction; in training it is a part of its loss.

pub mod forward;
