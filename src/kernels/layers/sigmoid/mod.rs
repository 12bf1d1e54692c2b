//! A sigmoid for each mood, in prediction; in training it is a part of its loss.

pub mod forward;
