//! The kinds of layers that a model is made of, one file each. A file knows all there is to know of
//! its layer: the tensors that it owns, what comes out, the steps of both passes, the operators in
//! ONNX, and how people read it. [`Graph`](super::graph::Graph) loops over them.

mod concatenation;
mod conv_block;
mod dense;
mod dropout;
mod embedded;
mod filters;
mod frames;
mod handcrafted;
mod join;
mod log_mel;
mod lstm;
mod map_norm;
mod mean_max;
mod output;
mod relu;
mod residual;
mod sequence;
mod vector_norm;

use std::fmt;

use super::onnx::Export;
use super::packing::Packed;
use super::planning::{Builder, Gradient, Value};

pub(super) use concatenation::Concatenation;
pub(super) use conv_block::{ConvBlock, Map};
pub(super) use dense::Dense;
pub(super) use dropout::Dropout;
pub(super) use embedded::Embedded;
pub(super) use filters::Filters;
pub(super) use frames::Frames;
pub(super) use handcrafted::Handcrafted;
pub(super) use join::Join;
pub(super) use log_mel::LogMel;
pub(super) use lstm::{Lstm, Returns};
pub(super) use mean_max::MeanMax;
pub(super) use output::OutputLayer;
pub(super) use relu::Relu;
pub(super) use residual::Residual;
pub(super) use sequence::Sequence;
pub(super) use vector_norm::VectorNorm;

/// The size of a layer's output for one clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A plane of the input.
    Plane {
        /// Along frequency.
        bands: usize,
        /// Along time.
        steps: usize,
    },
    /// Planes that a convolution makes.
    Map {
        /// Planes.
        channels: usize,
        /// Along frequency.
        bands: usize,
        /// Along time.
        steps: usize,
    },
    /// Numbers for each step.
    Sequence {
        /// Along time.
        steps: usize,
        /// Numbers of a step.
        features: usize,
    },
    /// Numbers without an order.
    Vector(usize),
}

impl Shape {
    /// The sizes along its axes.
    pub fn sizes(self) -> Vec<usize> {
        match self {
            Self::Plane { bands, steps } => vec![bands, steps],
            Self::Map { channels, bands, steps } => vec![channels, bands, steps],
            Self::Sequence { steps, features } => vec![steps, features],
            Self::Vector(features) => vec![features],
        }
    }

    /// Numbers in all.
    pub fn elements(self) -> usize {
        self.sizes().into_iter().product()
    }

    /// [channels, bands, steps] of what a convolution reads.
    ///
    /// # Panics
    /// When it is no plane and no map: the graph is wrong.
    pub(super) fn planes(self) -> [usize; 3] {
        match self {
            Self::Plane { bands, steps } => [1, bands, steps],
            Self::Map { channels, bands, steps } => [channels, bands, steps],
            _ => panic!("{self:?} has no planes"),
        }
    }

    /// [steps, features] of what a recurrence reads.
    ///
    /// # Panics
    /// When it is no sequence: the graph is wrong.
    pub(super) fn sequence(self) -> [usize; 2] {
        match self {
            Self::Sequence { steps, features } => [steps, features],
            _ => panic!("{self:?} is no sequence"),
        }
    }

    /// Numbers of a vector.
    ///
    /// # Panics
    /// When it is none: the graph is wrong.
    pub(super) fn vector(self) -> usize {
        match self {
            Self::Vector(features) => features,
            _ => panic!("{self:?} is no vector"),
        }
    }
}

/// How a tensor starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Normal, deviation √(2 / fan_in), not truncated (He et al. 2015).
    HeNormal {
        /// Inputs of one output.
        fan_in: usize,
    },
    /// Uniform within ±√(6 / (fan_in + fan_out)) (Glorot and Bengio 2010). An LSTM's input weights
    /// count as one matrix for the four gates, as in Keras.
    GlorotUniform {
        /// Inputs of one output.
        fan_in: usize,
        /// Outputs.
        fan_out: usize,
    },
    /// The columns of the whole matrix are orthonormal (Saxe et al. 2014).
    Orthogonal,
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
    /// An LSTM's bias: 1 in the forget gate, the second quarter, and 0 in the others.
    ForgetBias,
}

/// A tensor that a layer owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As in the checkpoint.
    pub name: String,
    /// Row-major, the last dimension the fastest.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
}

impl Parameter {
    /// The tensor `what` of the layer `owner`.
    fn new(owner: &str, what: &str, shape: &[usize], init: Init) -> Self {
        Self { name: format!("{owner}.{what}"), shape: shape.to_vec(), init }
    }

    /// Numbers in it.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// What takes the gradient to a layer's output down: it appends the layer's backward steps and
/// returns the gradients to what the layer read, in that order. A layer with weights may leave them
/// out where nothing below is trained.
pub(super) type Pullback<'a> = Box<dyn FnOnce(&mut Builder<'a>, &Gradient) -> Vec<Gradient> + 'a>;

/// One layer of a model.
pub(super) trait Layer: fmt::Debug + Send + Sync {
    /// What people and its tensors' names call it.
    fn name(&self) -> &str;

    /// What comes out for one clip.
    fn output(&self) -> Shape;

    /// Trained tensors, in the order in which they lie in memory.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Running statistics.
    fn buffers(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Numbers of its largest tensor for one clip.
    fn largest(&self) -> usize {
        self.output().elements()
    }

    /// Weights that its kernels read in another order than the checkpoint's. With `backward`, those
    /// of the gradient to the input too.
    fn packing(&self, _backward: bool) -> Vec<Packed> {
        Vec::new()
    }

    /// Whether what it reads is written side by side into one tensor, which it passes on.
    fn joins(&self) -> bool {
        false
    }

    /// Whether it only drops numbers in training.
    fn drops(&self) -> bool {
        false
    }

    /// Appends the forward steps.
    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>);

    /// Appends ONNX's operators; `inputs` and the result are names of values there.
    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String;

    /// What it does, in words; nothing where it only rearranges.
    fn operations(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether people read its operations on the line of the layer before: it works on each number
    /// by itself.
    fn continues(&self) -> bool {
        false
    }
}
