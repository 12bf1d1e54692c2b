//! Dense layers, in PyTorch's layout: weight [outputs, inputs].

pub mod forward;
pub mod input_gradient;
pub mod weight_gradient;
