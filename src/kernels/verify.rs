//! Verification cases: at which shape a kernel is checked, on which inputs, how closely.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal, Uniform};

use super::{Access, Element, Kernel, Launch};

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
    /// How the tensors are drawn, in binding order.
    draws: Vec<Draw>,
}

impl<K: Kernel> Case<K> {
    /// Held to [`TOLERANCE`], or to [`MINIMAL_TOLERANCE`] if it is called "minimal".
    pub fn new(name: &'static str, params: K) -> Self {
        let tolerance = if name == "minimal" { MINIMAL_TOLERANCE } else { TOLERANCE };
        Self { name, params, tolerance, draws: K::in_order(params.draw()) }
    }

    /// Draws the inputs otherwise than the kernel's other cases.
    #[must_use]
    pub fn drawn(mut self, draws: K::Tensors<Draw>) -> Self {
        self.draws = K::in_order(draws);
        self
    }

    /// Loosens the bound; the call's comment gives the reason.
    #[must_use]
    pub fn within(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }
}

/// [`Case`] of any kernel, for one of its schedules.
#[derive(Debug)]
pub struct AnyCase {
    /// As [`Case::name`].
    pub name: &'static str,
    /// [`Case::params`] on the schedule.
    pub launch: Launch,
    /// As [`Case::tolerance`].
    pub tolerance: f64,
    /// How each tensor is drawn, as [`Kernel::draw`] says or the case's own way.
    pub draws: Vec<Draw>,
}

/// How the elements of a tensor are drawn. Tensors that a kernel only writes are poisoned instead.
#[derive(Clone, Debug)]
pub enum Draw {
    /// A value that no kernel leaves behind, for shares of which every element is written.
    Poison,
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
    /// Words, each in an inclusive range of its own. The bits of positive floats are such a range.
    WordRanges(Vec<(u32, u32)>),
    /// Words of four bytes below the bound.
    BytesBelow(u8),
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

    /// Whether no element is infinite or NaN; words always are.
    pub fn are_finite(&self) -> bool {
        match self {
            Self::F32(values) => values.iter().all(|x| x.is_finite()),
            Self::U32(_) => true,
        }
    }
}

/// What lies in a tensor that a kernel only writes: a value no kernel leaves behind.
const POISON: f32 = -7.625e19;

impl AnyCase {
    /// The case for each of the kernel's schedules.
    pub fn every<K: Kernel>(case: Case<K>) -> impl Iterator<Item = Self> {
        let Case { name, params, tolerance, draws } = case;
        Launch::every(params).map(move |launch| Self {
            name,
            launch,
            tolerance,
            draws: draws.clone(),
        })
    }

    /// Draws the tensors; those that are only written are poisoned.
    pub fn inputs(&self, seed: u64) -> Vec<Values> {
        drawn(&self.launch, &self.draws, seed)
    }
}

/// Draws the tensors of a launch that is no case; those that are only written are poisoned.
pub fn inputs(launch: &Launch, seed: u64) -> Vec<Values> {
    drawn(launch, &launch.kernel.draws(), seed)
}

fn drawn(launch: &Launch, draws: &[Draw], seed: u64) -> Vec<Values> {
    launch
        .kernel
        .bindings()
        .iter()
        .zip(launch.lengths().into_iter().zip(draws))
        .enumerate()
        .map(|(index, (binding, (length, draw)))| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(index as u64);
            let values = match (binding.access, binding.element) {
                (Access::Write, Element::F32) => Draw::Poison.values(length, &mut rng),
                (Access::Write, Element::U32) => Values::U32(vec![POISON.to_bits(); length]),
                _ => draw.values(length, &mut rng),
            };
            let drawn = values.bytes().len() / 4;
            assert_eq!(drawn, length, "{}: {}", launch.shader.name, binding.name);
            values
        })
        .collect()
}

impl Draw {
    /// The tensor's elements. Where the draw says how many there are, `length` is not asked.
    fn values(&self, length: usize, rng: &mut ChaCha8Rng) -> Values {
        const VALID: &str = "a case draws from a valid range";
        match self {
            Self::Poison => Values::F32(vec![POISON; length]),
            Self::Normal(mean, deviation) => {
                let mut next = || -> f64 { StandardNormal.sample(rng) };
                Values::F32((0..length).map(|_| (mean + deviation * next()) as f32).collect())
            }
            Self::Uniform(low, high) => {
                let range = Uniform::new(low, high).expect(VALID);
                Values::F32((0..length).map(|_| range.sample(rng) as f32).collect())
            }
            Self::Below(bound) => {
                let range = Uniform::new(0, bound).expect(VALID);
                Values::U32((0..length).map(|_| range.sample(rng)).collect())
            }
            Self::Ranges(ranges) => {
                let mut next = |(low, high)| -> f64 {
                    Uniform::new_inclusive(low, high).expect(VALID).sample(rng)
                };
                Values::F32(ranges.iter().map(|&range| next(range) as f32).collect())
            }
            Self::Among(values) => {
                let range = Uniform::new(0, values.len()).expect(VALID);
                Values::F32((0..length).map(|_| values[range.sample(rng)]).collect())
            }
            Self::Values(values) => Values::F32(values.clone()),
            Self::Words(words) => Values::U32(words.clone()),
            Self::WordRanges(ranges) => {
                let mut next =
                    |(low, high)| Uniform::new_inclusive(low, high).expect(VALID).sample(rng);
                Values::U32(ranges.iter().map(|&range| next(range)).collect())
            }
            Self::BytesBelow(bound) => {
                let range = Uniform::new(0, bound).expect(VALID);
                let mut word = || u32::from_le_bytes(std::array::from_fn(|_| range.sample(rng)));
                Values::U32((0..length).map(|_| word()).collect())
            }
        }
    }
}
