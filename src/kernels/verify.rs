//! Verification cases: at which shape a kernel is checked, on which inputs, how closely.

use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal, Uniform};

use super::{Element, Kernel, Launch};

/// Rounding of a few dozen f32 operations an element, with room for a driver's own order of
/// operations: what a kernel is held to unless its case says why not.
pub const TOLERANCE: f64 = 2e-6;

/// What a minimal case is held to. Of its few elements each may be a sum that cancels, so that the
/// relative error of a draw has a long tail; such a case shows indices, not rounding.
pub const MINIMAL_TOLERANCE: f64 = 1e-4;

/// A shape to verify a kernel at.
#[derive(Clone, Debug)]
pub struct Case<K> {
    /// "minimal", "odd" (no size a multiple of a tile) or "typical", or what is special about it.
    pub name: &'static str,
    /// The launch.
    pub params: K,
    /// Bound on ‖gpu − reference‖ / ‖reference‖ of every output.
    pub tolerance: f64,
}

impl<K: Kernel> Case<K> {
    /// Held to [`TOLERANCE`], or to [`MINIMAL_TOLERANCE`] if it is called "minimal".
    pub fn new(name: &'static str, params: K) -> Self {
        let tolerance = if name == "minimal" { MINIMAL_TOLERANCE } else { TOLERANCE };
        Self { name, params, tolerance }
    }

    /// Loosens the bound; the call's comment gives the reason.
    #[must_use]
    pub fn within(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

/// [`Case`] of any kernel.
#[derive(Debug)]
pub struct AnyCase {
    /// As [`Case::name`].
    pub name: &'static str,
    /// [`Case::params`] behind a pointer.
    pub launch: Box<dyn Launch>,
    /// As [`Case::tolerance`].
    pub tolerance: f64,
}

/// How the elements of a tensor are drawn. Tensors that a kernel only writes are poisoned instead.
#[derive(Clone, Debug)]
pub enum Draw {
    /// Normal numbers of this mean and standard deviation.
    Normal(f64, f64),
    /// Uniform in this range.
    Uniform(f64, f64),
    /// Integers below the bound.
    Below(u32),
    /// Uniform in a range of its own for each element.
    Ranges(Vec<(f64, f64)>),
    /// Any of these: few values make ties.
    Among(Vec<f32>),
    /// Exactly these.
    Values(Vec<f32>),
    /// Exactly these words.
    Words(Vec<u32>),
}

impl Draw {
    /// Standard normal numbers.
    pub const NORMAL: Self = Self::Normal(0.0, 1.0);
}

/// The elements of one tensor, as the GPU gets them.
#[derive(Clone, Debug)]
pub enum Values {
    /// Numbers.
    F32(Vec<f32>),
    /// Words.
    U32(Vec<u32>),
}

impl Values {
    /// As they lie in a buffer.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(values) => bytemuck::cast_slice(values),
            Self::U32(values) => bytemuck::cast_slice(values),
        }
    }
}

/// Draws the inputs of a launch; outputs are poisoned with a value no kernel leaves behind.
pub fn inputs(launch: &dyn Launch, seed: u64) -> Vec<Values> {
    const POISON: f32 = -7.625e19;
    let lengths = launch.lengths();
    let draws = launch.draws();
    launch
        .bindings()
        .iter()
        .zip(lengths.iter().zip(draws))
        .enumerate()
        .map(|(index, (binding, (&length, draw)))| {
            let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(index as u64);
            if binding.access == super::Access::Write {
                return match binding.element {
                    Element::F32 => Values::F32(vec![POISON; length]),
                    Element::U32 => Values::U32(vec![POISON.to_bits(); length]),
                };
            }
            let many = |f: &mut dyn FnMut(&mut rand_chacha::ChaCha8Rng) -> f32,
                        rng: &mut rand_chacha::ChaCha8Rng| {
                Values::F32((0..length).map(|_| f(rng)).collect())
            };
            match draw {
                Draw::Normal(mean, deviation) => many(
                    &mut |rng| {
                        let z: f64 = StandardNormal.sample(rng);
                        (mean + deviation * z) as f32
                    },
                    &mut rng,
                ),
                Draw::Uniform(low, high) => {
                    let range = Uniform::new(low, high).expect("a case draws from a valid range");
                    many(&mut |rng| range.sample(rng) as f32, &mut rng)
                }
                Draw::Below(bound) => {
                    let range = Uniform::new(0, bound).expect("a case draws from a valid range");
                    Values::U32((0..length).map(|_| range.sample(&mut rng)).collect())
                }
                Draw::Ranges(ranges) => {
                    assert_eq!(ranges.len(), length, "{}: {}", launch.id(), binding.name);
                    let mut ranges = ranges.into_iter();
                    let mut next = || ranges.next().expect("there is one for each element");
                    let mut draw = |rng: &mut rand_chacha::ChaCha8Rng| {
                        let (low, high) = next();
                        let range = Uniform::new_inclusive(low, high);
                        range.expect("a case draws from a valid range").sample(rng) as f32
                    };
                    many(&mut draw, &mut rng)
                }
                Draw::Among(values) => {
                    let range = Uniform::new(0, values.len()).expect("a case draws from something");
                    many(&mut |rng| values[range.sample(rng)], &mut rng)
                }
                Draw::Values(values) => {
                    assert_eq!(values.len(), length, "{}: {}", launch.id(), binding.name);
                    Values::F32(values)
                }
                Draw::Words(words) => {
                    assert_eq!(words.len(), length, "{}: {}", launch.id(), binding.name);
                    Values::U32(words)
                }
            }
        })
        .collect()
}
