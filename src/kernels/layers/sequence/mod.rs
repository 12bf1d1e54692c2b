//! Between feature maps (channels in quads), sequences (one vector a step) and summaries over time.

pub mod backward;
pub mod forward;
pub mod mean_max;
pub mod mean_max_gradient;
