//! What counts as silence.

/// The greatest magnitude of a sample that nobody hears: -90 dB of full scale, just above the last bit of
/// 16, in which dither is all that moves.
pub const INAUDIBLE: f32 = 3.162_278e-5;

/// Whether `samples` (full scale ±1) are silence: digital zeros, or no more than dither.
pub fn is_silent(samples: &[f32]) -> bool {
    samples.iter().all(|sample| sample.abs() <= INAUDIBLE)
}
