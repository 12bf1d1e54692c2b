//! `cargo xtask mutate`: is the verification of the kernels as strict as it looks?

mod mutants;
mod tokens;
mod trial;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use moodshader::exec::verification::cases;
use moodshader::exec::{Gpu, GpuOptions, choose};
use moodshader::kernels::{Facts, REGISTRY, Shader};
use moodshader::{Error, Result};
use mutants::{Change, Mutant, mutants};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
pub use trial::VerifySource;
use trial::{Outcome, Trial};

use crate::device::adapter_choice;

/// The least share of mutants that must be caught.
const ENOUGH: f64 = 0.95;

/// A mutant hangs if it takes this many times as long as the shader that it was made of, and at
/// least `LEAST_LIMIT`: compilation alone may take seconds where the driver had it cached before.
const LIMIT_FACTOR: u32 = 20;
const LEAST_LIMIT: Duration = Duration::from_secs(20);

/// Break shaders at random, one small edit each, and see whether verification notices.
///
/// An edit is a sign, an operator, a comparison, a constant, an index, a component, a swapped
/// function or argument, or a statement or barrier left out. Mutants are dealt evenly over the
/// kernels. Each is verified in a process of its own; one that hangs or crashes is caught, one that
/// does not compile is replaced by another. Survivors are listed with the line before and after:
/// docs/mutants.md explains those that compute the same.
///
/// The exit status is 0 when 95 % are caught, 1 when fewer are, 2 for wrong usage.
#[derive(Args, Debug)]
pub struct Mutate {
    /// Draws the mutants and the inputs of the cases.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many mutants, over all kernels.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// Only kernels whose identity contains this, such as layers/lstm.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    filter: String,
    /// auto, or a part of an adapter's name or backend, or its number in `moodshader devices`.
    #[arg(long, default_value = "auto", value_name = "ADAPTER")]
    device: String,
}

/// A mutant that compiled, and what became of it.
struct Tried {
    shader: Shader,
    mutant: Mutant,
    outcome: Outcome,
}

impl Mutate {
    pub fn run(self) -> Result<ExitCode> {
        // Of a filter that nothing matches, the list of kernels that verify-kernels shows as well.
        cases(&self.filter, &Facts::PORTABLE)?;
        if self.count == 0 {
            return Err(Error::input("--count 0 draws no mutants; ask for at least one"));
        }
        // Better said before the first mutant than by each.
        let choice = adapter_choice(
            &self.device,
            "--device cpu has no shaders to break; mutate needs an adapter",
        )?;
        let adapter = choose(&choice)?.ok_or_else(|| Error::input("mutate needs an adapter"))?;
        let facts = *Gpu::open(adapter, GpuOptions::default())?.facts();
        let mut kernels: Vec<_> = shaders()
            .filter(|shader| shader.name.contains(&self.filter) && (shader.runs_on)(&facts))
            .collect();
        let trial = Trial { device: self.device.clone(), seed: self.seed };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        kernels.shuffle(&mut rng);
        let start = Instant::now();
        let done = AtomicUsize::new(0);
        let share = |index: usize| {
            self.count / kernels.len() + usize::from(index < self.count % kernels.len())
        };
        let mut tried = in_parallel(kernels.len(), |index| {
            if share(index) == 0 {
                return Ok(Vec::new());
            }
            let tried = self.drill(&trial, kernels[index], share(index))?;
            let done = tried.len() + done.fetch_add(tried.len(), Ordering::Relaxed);
            eprintln!("{done} of {} mutants tried: {}", self.count, kernels[index].name);
            Ok(tried)
        })?;
        tried.sort_by_key(|tried| (tried.shader.name, tried.mutant.span.start));
        for tried in &tried {
            tried.print();
        }
        let caught = tried.iter().filter(|tried| tried.outcome != Outcome::Survived).count();
        println!(
            "\n{caught} of {} mutants caught ({:.1} %), seed {}, {:.0} s",
            tried.len(),
            100.0 * caught as f64 / tried.len() as f64,
            self.seed,
            start.elapsed().as_secs_f64()
        );
        if tried.len() < self.count {
            println!("there are no more mutants of these kernels");
        }
        let enough = caught as f64 >= ENOUGH * tried.len() as f64;
        Ok(if enough { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Tries `count` mutants of one schedule.
    fn drill(&self, trial: &Trial, shader: Shader, count: usize) -> Result<Vec<Tried>> {
        // Verification that fails anyway would catch everything.
        let start = Instant::now();
        match trial.run(shader.name, shader.source, Duration::from_secs(600))? {
            Outcome::Survived => {}
            outcome => {
                return Err(Error::failure(format!(
                    "{} fails without a change ({outcome:?}); see cargo xtask verify-kernels \
                     --filter {0} --seed {}",
                    shader.name, self.seed
                )));
            }
        }
        let limit = LEAST_LIMIT.max(LIMIT_FACTOR * start.elapsed());
        let mut tried = Vec::new();
        for mutant in in_drawn_order(shader, self.seed) {
            if tried.len() == count {
                break;
            }
            match trial.run(shader.name, &mutant.source(shader.source), limit)? {
                Outcome::DoesNotCompile => {}
                outcome => tried.push(Tried { shader, mutant, outcome }),
            }
        }
        Ok(tried)
    }
}

/// Every schedule's shader.
fn shaders() -> impl Iterator<Item = Shader> {
    REGISTRY.iter().flat_map(|kernel| (kernel.shaders)())
}

/// Every mutant of a shader in random order, the kinds of change in turn: a rare one, such as a
/// barrier left out, comes as early as a frequent one.
fn in_drawn_order(shader: Shader, seed: u64) -> Vec<Mutant> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let place = shaders().position(|other| other.name == shader.name);
    rng.set_stream(1 + place.expect("the kernel is in the registry") as u64);
    let mut kinds: BTreeMap<Change, Vec<Mutant>> = BTreeMap::new();
    for mutant in mutants(shader.source) {
        kinds.entry(mutant.change).or_default().push(mutant);
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.shuffle(&mut rng);
    for kind in &mut kinds {
        kind.shuffle(&mut rng);
    }
    let mut order = Vec::new();
    while kinds.iter().any(|kind| !kind.is_empty()) {
        order.extend(kinds.iter_mut().filter_map(Vec::pop));
    }
    order
}

/// Results of `work` for 0 … `items`, in order, from as many threads as there are processors.
fn in_parallel<T: Send>(
    items: usize,
    work: impl Fn(usize) -> Result<Vec<T>> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items);
    let worker = || -> Result<Vec<T>> {
        let mut results = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= items {
                return Ok(results);
            }
            results.extend(work(index)?);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let mut all = Vec::new();
        for worker in workers {
            all.extend(worker.join().expect("a worker does not panic")?);
        }
        Ok(all)
    })
}

impl Tried {
    fn print(&self) {
        let (verdict, how) = match &self.outcome {
            Outcome::Caught(how) => ("caught", how.as_str()),
            _ => ("SURVIVED", "every case passed"),
        };
        let [before, after] = self.mutant.lines(self.shader.source);
        let (file, line) = self.mutant.place(&self.shader);
        println!("{verdict:8}  shaders/{file}.wgsl:{line}  {}  {how}", self.mutant.change);
        println!("    - {before}\n    + {after}");
    }
}
