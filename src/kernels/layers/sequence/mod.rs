//! Between feature maps (channels in quads) and sequences (one vector a step).

pub mod backward;
pub mod forward;
