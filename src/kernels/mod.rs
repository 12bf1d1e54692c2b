//! The kernels: for each, a file at its path here with its parameters, schedules, cost, CPU reference
//! and verification cases, and in `shaders/` the WGSL of each of its schedules.

mod declare;
mod real;
mod schedule;
pub mod verify;

pub use declare::{
    Access, AnyKernel, Argument, Binding, Cost, Declaration, Element, Field, File, Kernel,
    Parameter, UNIFORM_WINDOW,
};
pub(crate) use declare::{kernel, parameters};
pub use real::{Real, over_shares, sigmoid};
pub use schedule::{Constants, Facts, Grid, Launch, PipelineKey, Schedule, Shader};

pub mod bench;
pub mod features;
pub mod layers;
pub mod loss;
pub mod optim;

use verify::AnyCase;

/// What the registry knows of a kernel without an instance of it.
pub struct Listed {
    /// The identity: the path of its file.
    pub id: &'static str,
    /// In binding order, from 1.
    pub bindings: &'static [Binding],
    /// Of the uniform block, in order.
    pub fields: fn() -> Vec<Field>,
    /// Of its schedules, in the order of preference.
    pub shaders: fn() -> Vec<Shader>,
    /// What its schedules are verified at.
    pub cases: fn() -> Vec<AnyCase>,
}

const fn listed<K: Kernel>() -> Listed {
    Listed {
        id: K::ID,
        bindings: K::BINDINGS,
        fields: || K::fields("params"),
        shaders: || K::SCHEDULES.iter().map(|schedule| schedule.shader).collect(),
        cases: || K::cases().into_iter().flat_map(AnyCase::every).collect(),
    }
}

/// Every kernel, in the order in which a clip meets them.
pub const REGISTRY: &[Listed] = &[
    listed::<features::stft_power::Params>(),
    listed::<features::stft_power_2048::Params>(),
    listed::<features::mel::Params>(),
    listed::<features::peak::Params>(),
    listed::<features::decibels::Params>(),
    listed::<features::logarithms::Params>(),
    listed::<features::zero_crossings::Params>(),
    listed::<features::spectral_shape::Params>(),
    listed::<features::frame_statistics::Params>(),
    listed::<features::frames::Params>(),
    listed::<features::standardise_handcrafted::Params>(),
    listed::<layers::augment::Params>(),
    listed::<layers::pack::Params>(),
    listed::<layers::conv::spread::Params>(),
    listed::<layers::conv::entry_forward::Params>(),
    listed::<layers::conv::entry_backward::Params>(),
    listed::<layers::conv::entry_reduce::Params>(),
    listed::<layers::conv::forward::Params>(),
    listed::<layers::conv::wide_forward::Params>(),
    listed::<layers::conv::input_gradient::Params>(),
    listed::<layers::conv::weight_gradient::Params>(),
    listed::<layers::conv::weight_gradient_reduce::Params>(),
    listed::<layers::front::forward::Params>(),
    listed::<layers::front::backward::Params>(),
    listed::<layers::front::weight_gradient::Params>(),
    listed::<layers::batch_norm::statistics::Params>(),
    listed::<layers::batch_norm::inference::Params>(),
    listed::<layers::batch_norm::gradient_sums::Params>(),
    listed::<layers::batch_norm::gradient_reduce::Params>(),
    listed::<layers::batch_norm::backward::Params>(),
    listed::<layers::batch_norm::vector_forward::Params>(),
    listed::<layers::batch_norm::vector_inference::Params>(),
    listed::<layers::batch_norm::vector_backward::Params>(),
    listed::<layers::pool::forward::Params>(),
    listed::<layers::map::join::Params>(),
    listed::<layers::map::split::Params>(),
    listed::<layers::map::add::Params>(),
    listed::<layers::sequence::forward::Params>(),
    listed::<layers::sequence::backward::Params>(),
    listed::<layers::sequence::mean_max::Params>(),
    listed::<layers::sequence::mean_max_gradient::Params>(),
    listed::<layers::lstm::input_product::Params>(),
    listed::<layers::lstm::recurrence_forward::Params>(),
    listed::<layers::lstm::last_state::Params>(),
    listed::<layers::lstm::last_state_gradient::Params>(),
    listed::<layers::lstm::recurrence_backward::Params>(),
    listed::<layers::lstm::weight_gradient::Params>(),
    listed::<layers::lstm::weight_gradient_reduce::Params>(),
    listed::<layers::lstm::recurrent_gradient::Params>(),
    listed::<layers::lstm::input_gradient::Params>(),
    listed::<layers::relu::forward::Params>(),
    listed::<layers::relu::backward::Params>(),
    listed::<layers::dense::forward::Params>(),
    listed::<layers::dense::input_gradient::Params>(),
    listed::<layers::dense::weight_gradient::Params>(),
    listed::<layers::dropout::forward::Params>(),
    listed::<layers::softmax::forward::Params>(),
    listed::<layers::sigmoid::forward::Params>(),
    listed::<loss::softmax_bce::Params>(),
    listed::<loss::sigmoid_bce::Params>(),
    listed::<loss::positive_weights::Params>(),
    listed::<loss::accumulate::Params>(),
    listed::<optim::accumulate::Params>(),
    listed::<optim::adam::Params>(),
    listed::<optim::average::Params>(),
    listed::<bench::multiply_add::Params>(),
    listed::<bench::copy::Params>(),
];

/// Workgroups of `size` that cover `items`.
pub const fn cover(items: u32, size: u32) -> u32 {
    items.div_ceil(size)
}

/// Elements to which a tensor's start in a buffer is aligned: 256 bytes, the strictest alignment
/// that WebGPU allows an adapter to ask of a storage binding.
pub const ALIGNMENT: usize = 64;

/// Workgroups of `size` in rows, of which as many as need be cover any number of items within every
/// adapter's limits.
pub fn rows(items: u32, size: u32) -> [u32; 3] {
    const WORKGROUPS: u32 = 1024;
    let row = cover(items, size).min(WORKGROUPS);
    [row, cover(items, row * size), 1]
}
