//! The sweep of the fixtures, and how alike two sounds are.

use std::f64::consts::TAU;

/// What tests/fixtures/audio.sh encodes: a tone that rises from 200 Hz, by 200 Hz in a second.
pub fn sweep(rate: u32, length: usize) -> Vec<f32> {
    let value = |n: usize| {
        let t = n as f64 / f64::from(rate);
        (0.5 * (TAU * (200.0 * t + 100.0 * t * t)).sin()) as f32
    };
    (0..length).map(value).collect()
}

/// Cosine of the angle between two stretches.
pub fn likeness(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
