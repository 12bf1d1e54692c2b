//! Runs a kernel on an adapter against its CPU reference.

use std::fmt;
use std::time::Instant;

use super::Gpu;
use crate::kernels::verify::{AnyCase, Values, inputs};
use crate::kernels::{Argument, Element, Launch, REGISTRY};
use crate::{Error, Result};

/// What verifying one case found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its identity.
    pub kernel: &'static str,
    /// The case's name.
    pub case: &'static str,
    /// The parameters of the launch, for people.
    pub shape: String,
    /// What the inputs were drawn from.
    pub seed: u64,
    /// The largest ‖gpu − reference‖ / ‖reference‖ over the outputs; infinite where a value is not
    /// finite, a word differs, an input was written to, or the kernel did not run.
    pub error: f64,
    /// What the error may be.
    pub tolerance: f64,
    /// The element that is furthest off, or why the kernel did not run.
    pub worst: String,
    /// Of the GPU's side: upload, launch, download, and compilation where it was not done before.
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

/// The cases of every kernel whose identity contains `filter`.
///
/// # Errors
/// Where there is none; the message lists the kernels.
pub fn cases(filter: &str) -> Result<Vec<AnyCase>> {
    let cases: Vec<_> = REGISTRY
        .iter()
        .filter(|entry| entry.id.contains(filter))
        .flat_map(|entry| (entry.cases)())
        .collect();
    if cases.is_empty() {
        let known: Vec<_> = REGISTRY.iter().map(|entry| format!("\n  {}", entry.id)).collect();
        return Err(Error::input(format!(
            "no kernel matches --filter {filter}; use a part of one of these:{}",
            known.concat()
        )));
    }
    Ok(cases)
}

/// Verifies one case on inputs drawn from `seed`. A kernel that does not run is a failure like one
/// that computes something else: the next may still be right.
pub fn verify(gpu: &Gpu, case: &AnyCase, seed: u64) -> Report {
    let launch = &*case.launch;
    let before = inputs(launch, seed);
    let start = Instant::now();
    let after = gpu.launch_once(launch, &before);
    let seconds = start.elapsed().as_secs_f64();
    let (error, worst) = match after {
        Ok(after) => judge(launch, &before, &after),
        Err(error) => (f64::INFINITY, error.to_string()),
    };
    Report {
        kernel: launch.id(),
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
fn judge(launch: &dyn Launch, before: &[Values], after: &[Values]) -> (f64, String) {
    let expected = reference(launch, before);
    let mut error = 0.0;
    let mut worst = String::new();
    for (((binding, before), after), expected) in
        launch.bindings().iter().zip(before).zip(after).zip(&expected)
    {
        if binding.access.reads() {
            if before.bytes() != after.bytes() {
                return (f64::INFINITY, format!("the input {} was written to", binding.name));
            }
            continue;
        }
        let difference = match (after, expected) {
            (Values::F32(got), Expected::Numbers(want)) => compare(got, want),
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

/// The launch's parameters without the struct around them: "batch: 5, inputs: 37".
pub fn shape(launch: &dyn Launch) -> String {
    let text = format!("{launch:?}");
    text.trim_start_matches("Params { ").trim_end_matches(" }").to_owned()
}

/// What the reference computes, in f64.
#[derive(Debug)]
pub enum Expected {
    /// Elements of an f32 tensor.
    Numbers(Vec<f64>),
    /// Elements of a u32 tensor.
    Words(Vec<u32>),
}

/// Runs the reference on a copy of the inputs; the result holds every tensor.
pub fn reference(launch: &dyn Launch, inputs: &[Values]) -> Vec<Expected> {
    let mut tensors: Vec<_> = inputs
        .iter()
        .map(|values| match values {
            Values::F32(values) => {
                Expected::Numbers(values.iter().map(|&x| f64::from(x)).collect())
            }
            Values::U32(words) => Expected::Words(words.clone()),
        })
        .collect();
    let arguments = tensors
        .iter_mut()
        .zip(launch.bindings())
        .map(|(tensor, binding)| match (tensor, binding.access.reads()) {
            (Expected::Numbers(values), true) => Argument::Read(values),
            (Expected::Numbers(values), false) => Argument::Write(values),
            (Expected::Words(words), true) => Argument::ReadWords(words),
            (Expected::Words(words), false) => Argument::WriteWords(words),
        })
        .collect();
    launch.reference_f64(arguments);
    tensors
}

struct Difference {
    error: f64,
    index: usize,
    got: f64,
    want: f64,
}

fn compare(got: &[f32], want: &[f64]) -> Difference {
    let (mut square, mut norm) = (0.0, 0.0);
    let mut worst = Difference { error: 0.0, index: 0, got: 0.0, want: 0.0 };
    let mut furthest = -1.0;
    for (index, (&got, &want)) in got.iter().zip(want).enumerate() {
        let got = f64::from(got);
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

impl Gpu {
    /// Runs one launch over tensors of its own and returns all of them.
    pub fn launch_once(&self, launch: &dyn Launch, inputs: &[Values]) -> Result<Vec<Values>> {
        let bytes = self.dispatch(launch, &inputs.iter().map(Values::bytes).collect::<Vec<_>>())?;
        Ok(bytes
            .into_iter()
            .zip(launch.bindings())
            .map(|(bytes, binding)| match binding.element {
                Element::F32 => Values::F32(bytemuck::pod_collect_to_vec(&bytes)),
                Element::U32 => Values::U32(bytemuck::pod_collect_to_vec(&bytes)),
            })
            .collect())
    }
}
