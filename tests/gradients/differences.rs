//! Derivatives by finite differences.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Normalised error of a kernel's gradient. Differences of these functions are good to 1e-9.
const TOLERANCE: f64 = 1e-7;

pub fn normal(length: usize, seed: u64) -> Vec<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.sample(rand_distr::StandardNormal)).collect()
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A derivative at 0, and whether the first step was too large.
///
/// Where ReLU or pooling switches within the step, a difference over half the step is another: the
/// step then shrinks until both agree. `scale` says what counts as a difference.
pub fn derivative(scale: f64, mut f: impl FnMut(f64) -> f64) -> (f64, bool) {
    const STEP: f64 = 2e-5;
    let mut central = |step: f64| (f(step) - f(-step)) / (2.0 * step);
    let mut step = STEP;
    loop {
        let (coarse, fine) = (central(step), central(0.5 * step));
        if (coarse - fine).abs() <= 1e-6 * scale || step < 1e-3 * STEP {
            return (fine, step < STEP);
        }
        step *= 0.25;
    }
}

pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(1e-30, |most, x| x.abs().max(most))
}

pub fn error(got: &[f64], want: &[f64]) -> f64 {
    let square: f64 = got.iter().zip(want).map(|(a, b)| (a - b).powi(2)).sum();
    let norm = dot(want, want);
    if norm > 0.0 { (square / norm).sqrt() } else { square.sqrt() }
}

/// Compares `gradient` with differences of `loss` at every element of `at`.
pub fn check(what: &str, gradient: &[f64], at: &[f64], loss: impl Fn(&[f64]) -> f64) {
    assert_eq!(gradient.len(), at.len());
    let scale = largest(gradient);
    let mut moved = at.to_vec();
    let mut kinks = 0;
    let mut differences = Vec::new();
    for element in 0..at.len() {
        let (slope, kinked) = derivative(scale, |step| {
            moved[element] = at[element] + step;
            loss(&moved)
        });
        moved[element] = at[element];
        differences.push(slope);
        kinks += usize::from(kinked);
    }
    let error = error(gradient, &differences);
    println!("{what}: {} elements, error {error:.1e}, {kinks} kinks", at.len());
    assert!(error < TOLERANCE, "{what}: {error:.1e}");
}
