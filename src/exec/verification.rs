//! Runs a kernel on an adapter against its CPU reference.

use std::fmt;
use std::time::Instant;

use super::Gpu;
use crate::kernels::verify::{AnyCase, Values};
use crate::kernels::{Argument, Binding, Element, Facts, Field, Launch, REGISTRY};
use crate::{Error, Result};

/// What verifying one case found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The schedule's name, which is the kernel's for the general one.
    pub kernel: &'static str,
    /// The case's name.
    pub case: &'static str,
    /// The parameters of the launch, for people.
    pub shape: String,
    /// What the inputs were drawn from.
    pub seed: u64,
    /// The largest ‖gpu − reference‖ / ‖reference‖ over the outputs; infinite where a value is not
    /// finite, a word differs, something else was written to, or the kernel did not run.
    pub error: f64,
    /// What the error may be.
    pub tolerance: f64,
    /// The element that is furthest off, or why the kernel did not run.
    pub worst: String,
    /// Time on the GPU's side: upload, launch, download, and compilation where it was not done before.
    pub seconds: f64,
}

impl Report {
    /// Whether the error is within the tolerance.
    pub fn passed(&self) -> bool {
        self.error <= self.tolerance
    }
}

/// All that is needed to see a failure again.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, {} ({}), seed {}: error {:.2e}, tolerance {:.0e}, {}",
            self.kernel, self.case, self.shape, self.seed, self.error, self.tolerance, self.worst
        )
    }
}

/// The cases of every schedule whose name contains `filter` and which runs on such an adapter.
///
/// # Errors
/// Where no schedule has such a name; the message lists the kernels.
pub fn cases(filter: &str, facts: &Facts) -> Result<Vec<AnyCase>> {
    let mut cases: Vec<_> = REGISTRY.iter().flat_map(|kernel| (kernel.cases)()).collect();
    cases.retain(|case| case.launch.shader.name.contains(filter));
    if cases.is_empty() {
        let known: Vec<_> = REGISTRY.iter().map(|kernel| format!("\n  {}", kernel.id)).collect();
        return Err(Error::input(format!(
            "no kernel matches --filter {filter}; use a part of one of these:{}",
            known.concat()
        )));
    }
    cases.retain(|case| (case.launch.shader.runs_on)(facts));
    Ok(cases)
}

/// Verifies one case on inputs drawn from `seed`. A kernel that does not run is a failure like one
/// that computes something else: the next may still be right.
pub fn verify(gpu: &Gpu, case: &AnyCase, seed: u64) -> Report {
    let launch = &case.launch;
    let before = case.inputs(seed);
    let start = Instant::now();
    let after = gpu.launch_once(launch, &before);
    let seconds = start.elapsed().as_secs_f64();
    let (error, worst) = match after {
        Ok(after) => judge(launch, &before, &after),
        Err(error) => (f64::INFINITY, error.to_string()),
    };
    Report {
        kernel: launch.shader.name,
        case: case.name,
        shape: shape(launch),
        seed,
        error,
        tolerance: case.tolerance,
        worst,
        seconds,
    }
}

/// The largest error over the tensors, and the element that is furthest off.
fn judge(launch: &Launch, before: &[Values], after: &[Values]) -> (f64, String) {
    let expected = reference(launch, before);
    let finite = before.iter().all(Values::are_finite);
    let mut error = 0.0;
    let mut worst = String::new();
    for (((binding, before), after), expected) in
        launch.kernel.bindings().iter().zip(before).zip(after).zip(&expected)
    {
        if binding.access.reads() {
            if before.bytes() != after.bytes() {
                return (f64::INFINITY, format!("the input {} was written to", binding.name));
            }
            continue;
        }
        let difference = match (after, expected) {
            (Values::F32(got), Expected::Numbers(want)) => {
                compare(&sum(got, launch.shares_in(binding.access)), want, finite)
            }
            (Values::U32(got), Expected::Words(want)) => compare_words(got, want),
            _ => unreachable!("both sides follow the binding's element type"),
        };
        if difference.error > error || worst.is_empty() {
            error = difference.error.max(error);
            worst = match difference.error {
                0.0 => "exact".to_owned(),
                _ => format!(
                    "{}[{}] = {:.7e}, reference {:.7e}",
                    binding.name, difference.index, difference.got, difference.want
                ),
            };
        }
    }
    (error, worst)
}

/// The launch's parameters: "batch: 5, inputs: 37".
pub fn shape(launch: &Launch) -> String {
    let words = bytemuck::pod_collect_to_vec::<u8, u32>(launch.kernel.params());
    let parameters = launch.kernel.fields().into_iter().zip(words);
    let texts = parameters.map(|(Field { name, ty }, word)| match ty {
        "f32" => format!("{name}: {:?}", f32::from_bits(word)),
        _ => format!("{name}: {word}"),
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// What the reference computes, in f64.
#[derive(Debug)]
pub enum Expected {
    /// Elements of an f32 tensor.
    Numbers(Vec<f64>),
    /// Elements of a u32 tensor.
    Words(Vec<u32>),
}

/// The sum over the shares of a tensor.
fn sum(values: &[f32], shares: usize) -> Vec<f64> {
    let mut sums = vec![0.0; values.len() / shares];
    for share in values.chunks(sums.len().max(1)) {
        for (sum, &x) in sums.iter_mut().zip(share) {
            *sum += f64::from(x);
        }
    }
    sums
}

/// Runs the reference on a copy of the inputs; the result holds every tensor, shares as their sum.
pub fn reference(launch: &Launch, inputs: &[Values]) -> Vec<Expected> {
    let bindings = launch.kernel.bindings();
    let mut tensors: Vec<_> = inputs
        .iter()
        .zip(bindings)
        .map(|(values, binding)| match values {
            Values::F32(values) => Expected::Numbers(sum(values, launch.shares_in(binding.access))),
            Values::U32(words) => Expected::Words(words.clone()),
        })
        .collect();
    let arguments = tensors
        .iter_mut()
        .zip(bindings)
        .map(|(tensor, binding)| match (tensor, binding.access.reads()) {
            (Expected::Numbers(values), true) => Argument::Read(values),
            (Expected::Numbers(values), false) => Argument::Write(values),
            (Expected::Words(words), true) => Argument::ReadWords(words),
            (Expected::Words(words), false) => Argument::WriteWords(words),
        })
        .collect();
    launch.kernel.reference_f64(arguments);
    tensors
}

struct Difference {
    error: f64,
    index: usize,
    got: f64,
    want: f64,
}

/// Of inputs that are not finite, nothing is promised about the numbers that come of them: where
/// the reference is not finite either, an element is left out.
fn compare(got: &[f64], want: &[f64], finite_inputs: bool) -> Difference {
    let (mut square, mut norm) = (0.0, 0.0);
    let mut worst = Difference { error: 0.0, index: 0, got: 0.0, want: 0.0 };
    let mut furthest = -1.0;
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        if !(finite_inputs || want.is_finite()) {
            continue;
        }
        let mut distance = (got - want).abs();
        if !distance.is_finite() {
            distance = f64::INFINITY;
        }
        square += distance * distance;
        norm += want * want;
        if distance > furthest {
            furthest = distance;
            worst = Difference { error: 0.0, index, got, want };
        }
    }
    // A reference that is all zero leaves the absolute error.
    worst.error = if norm > 0.0 { (square / norm).sqrt() } else { square.sqrt() };
    worst
}

fn compare_words(got: &[u32], want: &[u32]) -> Difference {
    match got.iter().zip(want).position(|(got, want)| got != want) {
        None => Difference { error: 0.0, index: 0, got: 0.0, want: 0.0 },
        Some(index) => Difference {
            error: f64::INFINITY,
            index,
            got: f64::from(got[index]),
            want: f64::from(want[index]),
        },
    }
}

/// Words that lie before and after each tensor of a launch on its own, where no kernel has any
/// business: a multiple of every adapter's alignment of bindings.
const GUARD: usize = 1024;

/// The guards of the tensor of this place: in turn NaN, which shows in sums even if multiplied by
/// zero, and a number that shows in comparisons, which NaN may lose. NaN goes through arithmetic
/// with its bits and would be written over itself, so each tensor has words of its own, and where
/// the kernel writes the number comes first.
fn guard(place: usize, binding: &Binding) -> [u32; GUARD] {
    let nan_first = binding.access.reads();
    std::array::from_fn(|i| {
        let kind = if (i % 2 == 0) == nan_first { 0x7fc0_0ba0 } else { 0x7f00_0ba0 };
        kind + place as u32
    })
}

/// The tensor between its guards.
fn guarded(place: usize, binding: &Binding, values: &Values) -> Vec<u8> {
    let guard = guard(place, binding);
    let guard: &[u8] = bytemuck::cast_slice(&guard);
    [guard, values.bytes(), guard].concat()
}

/// The tensor between guards that the kernel left as they were.
fn unguarded(place: usize, buffer: &[u8], binding: &Binding) -> Result<Values> {
    let words: Vec<u32> = bytemuck::pod_collect_to_vec(buffer);
    let length = words.len() - 2 * GUARD;
    let (before, rest) = words.split_at(GUARD);
    let (tensor, after) = rest.split_at(length);
    let guard = guard(place, binding);
    let stray = |side: &[u32]| side.iter().zip(guard).position(|(&word, guard)| word != guard);
    let outside = stray(before)
        .map(|at| at as i64 - GUARD as i64)
        .or_else(|| stray(after).map(|at| (length + at) as i64));
    match outside {
        Some(index) => Err(Error::failure(format!(
            "{}[{index}] was written to; it has {length} elements",
            binding.name
        ))),
        None => Ok(match binding.element {
            Element::F32 => Values::F32(tensor.iter().map(|&word| f32::from_bits(word)).collect()),
            Element::U32 => Values::U32(tensor.to_vec()),
        }),
    }
}

impl Gpu {
    /// Runs one launch over tensors of its own and returns all of them.
    ///
    /// They lie between guards, and the kernel can reach the guard behind each: what it reads there
    /// spoils its results.
    ///
    /// # Errors
    /// Where the kernel does not run, or has written to a guard.
    pub fn launch_once(&self, launch: &Launch, inputs: &[Values]) -> Result<Vec<Values>> {
        let bindings = launch.kernel.bindings();
        let buffers: Vec<_> = bindings
            .iter()
            .zip(inputs)
            .enumerate()
            .map(|(place, (binding, values))| guarded(place, binding, values))
            .collect();
        let after = self.dispatch(launch, &buffers, 4 * GUARD as u64)?;
        after
            .iter()
            .zip(bindings)
            .enumerate()
            .map(|(place, (buffer, binding))| unguarded(place, buffer, binding))
            .collect()
    }
}
