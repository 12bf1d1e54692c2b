//! Loss kernels: each computes predictions, loss and the gradient to the logits at once.

pub mod accumulate;
pub mod softmax_bce;
