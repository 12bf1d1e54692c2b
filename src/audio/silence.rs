//! What counts as silence.

/// The greatest magnitude of a sample that nobody hears: -90 dB of full scale, just above the last bit of
/// 16, in which dither is all that moves.
pub const INAUDIBLE: f32 = 3.162_278e-5;

/// Samples at either end in which a constant may begin and end, as resampling has it.
const EDGE: usize = 1024;

/// Whether `samples` (full scale ±1) are silence: digital zeros, no more than dither, or a constant, which
/// moves no loudspeaker: A-law has no zero.
pub fn is_silent(samples: &[f32]) -> bool {
    let within = |most: f32| samples.iter().all(|sample| sample.abs() <= most);
    let inside = samples.get(EDGE..samples.len().saturating_sub(EDGE)).unwrap_or_default();
    if inside.len() < 2 * EDGE {
        return within(INAUDIBLE);
    }
    let bounds = |(least, most): (f32, f32), sample: &f32| (sample.min(least), sample.max(most));
    let (least, most) = inside.iter().fold((f32::INFINITY, f32::NEG_INFINITY), bounds);
    // At the ends the constant may be left, and nothing else.
    most - least <= 2.0 * INAUDIBLE && within(least.abs().max(most.abs()) + INAUDIBLE)
}
