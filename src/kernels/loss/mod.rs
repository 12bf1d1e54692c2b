//! Losses: predictions, loss and the gradient to the logits at once; class weights are added to them.

pub mod accumulate;
pub mod positive_weights;
pub mod sigmoid_bce;
pub mod softmax_bce;
