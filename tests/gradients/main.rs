//! Every backward reference against finite differences of its forward reference, in f64, and the
//! whole model as one function. The LSTM's kernels are tested as a part of it, and in tests/layers.rs.

mod batch_norm;
mod convolution;
mod differences;
mod entry;
mod layers;
mod loss;
mod model;
mod optimiser;

#[path = "../support/small.rs"]
mod small;

/// References leave their sums whole.
const ONE_SHARE: u32 = 1;
