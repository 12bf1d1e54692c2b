//! The kernels: for each shader in `shaders/`, a file at the same path here with its parameters,
//! launch size, cost, CPU reference and verification cases.

mod declare;
mod real;
pub mod verify;

pub(crate) use declare::kernel;
pub use declare::{
    Access, Argument, Binding, Constants, Cost, Declaration, Element, Field, File, Kernel, Launch,
    UNIFORM_WINDOW,
};
pub use real::{Real, sigmoid};

pub mod bench;
pub mod features;
pub mod layers;
pub mod loss;
pub mod optim;

use verify::AnyCase;

/// What the registry knows of a kernel without an instance of it.
pub struct Entry {
    /// The identity: the shader's path without its ending.
    pub id: &'static str,
    /// WGSL.
    pub source: &'static str,
    /// The files that the source is joined of.
    pub files: &'static [File],
    /// In binding order, from 1.
    pub bindings: &'static [Binding],
    /// Of the uniform block, in order.
    pub fields: &'static [Field],
    /// What it is verified at.
    pub cases: fn() -> Vec<AnyCase>,
}

const fn entry<K: Kernel>() -> Entry {
    fn cases<K: Kernel>() -> Vec<AnyCase> {
        K::cases().into_iter().map(AnyCase::from).collect()
    }
    Entry {
        id: K::ID,
        source: K::SOURCE,
        files: K::FILES,
        bindings: K::BINDINGS,
        fields: K::FIELDS,
        cases: cases::<K>,
    }
}

/// Every kernel, in the order in which a clip meets them.
pub const REGISTRY: &[Entry] = &[
    entry::<features::stft_power::Params>(),
    entry::<features::stft_power_2048::Params>(),
    entry::<features::mel::Params>(),
    entry::<features::peak::Params>(),
    entry::<features::decibels::Params>(),
    entry::<features::zero_crossings::Params>(),
    entry::<features::spectral_shape::Params>(),
    entry::<features::frame_statistics::Params>(),
    entry::<features::frames::Params>(),
    entry::<features::standardise_handcrafted::Params>(),
    entry::<layers::pack::Params>(),
    entry::<layers::conv::spread::Params>(),
    entry::<layers::conv::entry_forward::Params>(),
    entry::<layers::conv::entry_backward::Params>(),
    entry::<layers::conv::entry_reduce::Params>(),
    entry::<layers::conv::forward::Params>(),
    entry::<layers::conv::input_gradient::Params>(),
    entry::<layers::conv::weight_gradient::Params>(),
    entry::<layers::conv::weight_gradient_reduce::Params>(),
    entry::<layers::batch_norm::statistics::Params>(),
    entry::<layers::batch_norm::inference::Params>(),
    entry::<layers::batch_norm::gradient_sums::Params>(),
    entry::<layers::batch_norm::gradient_reduce::Params>(),
    entry::<layers::batch_norm::backward::Params>(),
    entry::<layers::pool::forward::Params>(),
    entry::<layers::sequence::forward::Params>(),
    entry::<layers::sequence::backward::Params>(),
    entry::<layers::sequence::mean_max::Params>(),
    entry::<layers::sequence::mean_max_gradient::Params>(),
    entry::<layers::lstm::input_product::Params>(),
    entry::<layers::lstm::recurrence_forward::Params>(),
    entry::<layers::lstm::last_state::Params>(),
    entry::<layers::lstm::last_state_gradient::Params>(),
    entry::<layers::lstm::recurrence_backward::Params>(),
    entry::<layers::lstm::weight_gradient::Params>(),
    entry::<layers::lstm::recurrent_gradient::Params>(),
    entry::<layers::lstm::input_gradient::Params>(),
    entry::<layers::relu::forward::Params>(),
    entry::<layers::relu::backward::Params>(),
    entry::<layers::dense::forward::Params>(),
    entry::<layers::dense::input_gradient::Params>(),
    entry::<layers::dense::weight_gradient::Params>(),
    entry::<layers::dropout::forward::Params>(),
    entry::<layers::dropout::backward::Params>(),
    entry::<layers::softmax::forward::Params>(),
    entry::<layers::sigmoid::forward::Params>(),
    entry::<loss::softmax_bce::Params>(),
    entry::<loss::sigmoid_bce::Params>(),
    entry::<loss::positive_weights::Params>(),
    entry::<loss::accumulate::Params>(),
    entry::<optim::accumulate::Params>(),
    entry::<optim::adam::Params>(),
    entry::<bench::multiply_add::Params>(),
    entry::<bench::copy::Params>(),
];

/// Workgroups of `size` that cover `items`.
pub const fn cover(items: u32, size: u32) -> u32 {
    items.div_ceil(size)
}

/// Threads of a row of workgroups of `size`, of which as many as need be, one after the other, cover
/// any number of items within every adapter's limits.
pub const fn row(items: u32, size: u32) -> u32 {
    const WORKGROUPS: u32 = 1024;
    let needed = cover(items, size);
    size * if needed < WORKGROUPS { needed } else { WORKGROUPS }
}
