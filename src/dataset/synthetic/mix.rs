//! Mixes the parts of a song: swell, reverberation, level, noise floor, 16 bits.

use rand::{Rng, RngExt};
use std::f64::consts::TAU;

use super::SAMPLE_RATE;
use super::character::Character;

/// Delays in samples of Freeverb's parallel combs and serial all-passes, at half its 44 100 Hz.
const COMBS: [usize; 8] = [558, 594, 638, 678, 711, 745, 778, 808];
const ALL_PASSES: [usize; 4] = [278, 220, 170, 112];

/// Every song has a root mean square in this range, in dB below full scale, drawn without regard to
/// its moods: so loudness says nothing about them.
const LEVEL_DB: std::ops::Range<f64> = -24.0..-19.0;

/// Noise floor below the song's level, in dB, drawn without regard to its moods.
const HISS_DB: std::ops::Range<f64> = -75.0..-50.0;

/// Peaks above this part of full scale are bent towards it instead of clipped.
const KNEE: f32 = 0.8;

/// How much less of the drums than of the notes goes into the reverb.
const DRUM_SEND: f32 = 0.4;

/// Turns the notes' and the drums' sound into the clip's samples.
pub fn master(
    song: &Character,
    bar: f64,
    mut notes: Vec<f32>,
    drums: &[f32],
    rng: &mut impl Rng,
) -> Vec<i16> {
    swell(song.swell, bar, &mut notes, rng);
    let send: Vec<f32> = notes.iter().zip(drums).map(|(n, d)| n + DRUM_SEND * d).collect();
    let wet = reverberate(&send, song.ring as f32, (0.45 - 0.12 * song.brightness) as f32);
    let share = song.wet as f32;
    // The reverb is levelled against the dry sound, so that `wet` alone decides their balance.
    let match_level = share * (power(&send) / power(&wet).max(1e-12)).sqrt() as f32;
    let mut mix = notes;
    for ((sample, drum), wet) in mix.iter_mut().zip(drums).zip(&wet) {
        *sample = (1.0 - share) * (*sample + drum) + match_level * wet;
    }
    let level = decibels(rng.random_range(LEVEL_DB));
    let gain = level / power(&mix).sqrt().max(1e-9);
    // Uniform noise in ±1 has a root mean square of 1/√3.
    let hiss = (level * decibels(rng.random_range(HISS_DB)) * 3f64.sqrt()) as f32;
    let quantise = |sample: f32| {
        let sample = limit(sample * gain as f32 + hiss * rng.random_range(-1.0f32..1.0));
        (sample * f32::from(i16::MAX)).round() as i16
    };
    mix.into_iter().map(quantise).collect()
}

/// Lets the loudness rise and fall over some bars; `depth` is the part that the trough loses.
fn swell(depth: f64, bar: f64, notes: &mut [f32], rng: &mut impl Rng) {
    const BLOCK: usize = 256;
    let period = (2.0 * bar).clamp(3.0, 7.0);
    let phase = rng.random_range(0.0..TAU);
    let gain = |sample: usize| {
        let angle = TAU * sample as f64 / (period * f64::from(SAMPLE_RATE)) + phase;
        1.0 - depth * (0.5 + 0.5 * angle.cos())
    };
    for (number, block) in notes.chunks_mut(BLOCK).enumerate() {
        let (from, to) = (gain(number * BLOCK), gain((number + 1) * BLOCK));
        let step = ((to - from) / BLOCK as f64) as f32;
        let mut now = from as f32;
        for sample in block {
            *sample *= now;
            now += step;
        }
    }
}

/// Freeverb: eight damped feedback combs in parallel, then four all-passes.
fn reverberate(dry: &[f32], feedback: f32, damping: f32) -> Vec<f32> {
    let mut wet = vec![0.0f32; dry.len()];
    for length in COMBS {
        let mut line = vec![0.0f32; length];
        let (mut at, mut filtered) = (0, 0.0f32);
        for (out, input) in wet.iter_mut().zip(dry) {
            let delayed = line[at];
            *out += delayed;
            // The constant keeps a decaying tail out of the slow range of denormal numbers.
            filtered = delayed + damping * (filtered - delayed) + 1e-15;
            line[at] = input + feedback * filtered;
            at = if at + 1 == length { 0 } else { at + 1 };
        }
    }
    for length in ALL_PASSES {
        let mut line = vec![0.0f32; length];
        let mut at = 0;
        for sample in &mut wet {
            let delayed = line[at];
            line[at] = *sample + 0.5 * delayed;
            *sample = delayed - *sample;
            at = if at + 1 == length { 0 } else { at + 1 };
        }
    }
    wet
}

fn power(samples: &[f32]) -> f64 {
    samples.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / samples.len() as f64
}

fn decibels(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}

fn limit(sample: f32) -> f32 {
    let over = sample.abs() - KNEE;
    if over <= 0.0 {
        return sample;
    }
    let room = 0.98 - KNEE;
    (KNEE + room * (over / room).tanh()).copysign(sample)
}
