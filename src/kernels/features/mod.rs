//! Kernels from samples to log-mel and hand-crafted features, and the tables they read.
//!
//! The definitions are librosa 0.11's; tables are computed in `f64` and rounded once.

pub mod decibels;
pub mod frame_statistics;
pub mod frames;
pub mod logarithms;
pub mod mel;
pub mod peak;
pub mod spectral_shape;
pub mod standardise_handcrafted;
pub mod stft_power;
pub mod stft_power_2048;
pub mod zero_crossings;

use std::f64::consts::TAU;

use crate::kernels::{Real, parameters};

/// The hand-crafted features of a clip: mean and population deviation over its frames of zero
/// crossing rate (a share), spectral centroid and spectral rolloff (Hz), in this order.
pub const HANDCRAFTED: usize = 6;

parameters! {
    /// How log-mel spectrograms in dB are standardised: (x − mean) · inverse_deviation.
    pub struct Spectrograms {
        /// Of the training clips, in dB.
        pub mean: f32,
        /// Of the training clips, in 1/dB.
        pub inverse_deviation: f32,
    }
}

impl Spectrograms {
    /// A clip's spectrogram.
    pub(super) fn standardised<T: Real>(&self, clip: &[T]) -> Vec<T> {
        let [mean, inverse] = [self.mean, self.inverse_deviation].map(|x| T::of(f64::from(x)));
        clip.iter().map(|&x| (x - mean) * inverse).collect()
    }
}

/// e^(−2πik/n) for k below n/2, as pairs of real and imaginary part: `[n / 2, 2]`.
/// The real parts are also the cosines of the periodic Hann window.
pub fn twiddles(n: usize) -> Vec<f64> {
    (0..n / 2)
        .flat_map(|k| {
            let (sin, cos) = (TAU * k as f64 / n as f64).sin_cos();
            [cos, -sin]
        })
        .collect()
}

/// Slope of the mel scale below [`LOG_START`], in Hz a mel.
const HZ_PER_MEL: f64 = 200.0 / 3.0;
/// Where the scale turns logarithmic, in Hz and in mel.
const LOG_START: f64 = 1000.0;
const LOG_START_MEL: f64 = LOG_START / HZ_PER_MEL;

/// Natural logarithm of the frequency ratio that one mel spans from [`LOG_START`] on: 27 mels for
/// a factor of 6.4.
fn log_step() -> f64 {
    6.4_f64.ln() / 27.0
}

/// Hz in mel of Slaney's Auditory Toolbox: linear up to 1 kHz, then logarithmic.
pub fn hz_to_mel(hz: f64) -> f64 {
    if hz < LOG_START {
        hz / HZ_PER_MEL
    } else {
        LOG_START_MEL + (hz / LOG_START).ln() / log_step()
    }
}

/// The opposite of [`hz_to_mel`].
pub fn mel_to_hz(mel: f64) -> f64 {
    if mel < LOG_START_MEL {
        mel * HZ_PER_MEL
    } else {
        LOG_START * ((mel - LOG_START_MEL) * log_step()).exp()
    }
}

/// Corner `i` of `mels` bands from `fmin` to `fmax` Hz, equally spaced in mel, in Hz: where band `i` begins, band
/// `i - 1` has its centre, and band `i - 2` ends.
pub fn mel_corner(i: usize, mels: usize, fmin: f64, fmax: f64) -> f64 {
    let (low, high) = (hz_to_mel(fmin), hz_to_mel(fmax));
    mel_to_hz(low + (high - low) * i as f64 / (mels + 1) as f64)
}

/// A triangle for each mel band over the bins of a power spectrum, without its zeros.
#[derive(Clone, Debug, PartialEq)]
pub struct MelFilters {
    /// `[mels, 3]`: first bin, number of bins, and where the band's weights start.
    pub bands: Vec<u32>,
    /// At least one, even where no band meets a bin.
    pub weights: Vec<f64>,
}

impl MelFilters {
    /// The filters of `librosa.filters.mel(norm="slaney", htk=False)`: corners equally spaced in
    /// mel from `fmin` to `fmax` Hz, each triangle of area 1 in Hz. A band narrower than the
    /// spacing of the bins may be empty.
    pub fn slaney(sample_rate: u32, n_fft: usize, mels: usize, fmin: f64, fmax: f64) -> Self {
        let corner = |i: usize| mel_corner(i, mels, fmin, fmax);
        let bin_hz = f64::from(sample_rate) / n_fft as f64;
        let mut filters = Self { bands: Vec::new(), weights: Vec::new() };
        for band in 0..mels {
            let [left, centre, right] = [corner(band), corner(band + 1), corner(band + 2)];
            let weight = |bin: usize| {
                let hz = bin as f64 * bin_hz;
                let rising = (hz - left) / (centre - left);
                let falling = (right - hz) / (right - centre);
                rising.min(falling).max(0.0) * 2.0 / (right - left)
            };
            let bins: Vec<usize> = (0..=n_fft / 2).filter(|&bin| weight(bin) > 0.0).collect();
            let first = bins.first().copied().unwrap_or(0);
            filters.bands.extend([first, bins.len(), filters.weights.len()].map(|n| n as u32));
            filters.weights.extend(bins.into_iter().map(weight));
        }
        if filters.weights.is_empty() {
            filters.weights.push(0.0);
        }
        filters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twiddles_go_clockwise() {
        let table = twiddles(8);
        assert_eq!(table.len(), 8);
        let expected = [1.0, 0.0, 0.5_f64.sqrt(), -0.5_f64.sqrt(), 0.0, -1.0];
        for (got, want) in table.iter().zip(expected) {
            assert!((got - want).abs() < 1e-15, "{got} {want}");
        }
    }

    #[test]
    fn mel_scale_meets_known_points() {
        for (hz, mel) in [(0.0, 0.0), (200.0, 3.0), (1000.0, 15.0), (6400.0, 42.0)] {
            assert!((hz_to_mel(hz) - mel).abs() < 1e-12, "{hz} Hz");
            assert!((mel_to_hz(mel) - hz).abs() < 1e-9, "{mel} mel");
        }
    }

    #[test]
    fn bands_are_contiguous_and_of_unit_area() {
        let filters = MelFilters::slaney(22_050, 2048, 40, 0.0, 11_025.0);
        let bin_hz = 22_050.0 / 2048.0;
        let mut end = 0;
        for band in filters.bands.chunks(3) {
            let [first, count, offset] = [band[0], band[1], band[2]].map(|n| n as usize);
            assert_eq!(offset, end);
            end += count;
            assert!(count > 0 && first + count <= 1025);
            let area = bin_hz * filters.weights[offset..end].iter().sum::<f64>();
            assert!((area - 1.0).abs() < 0.02, "band at bin {first}: {area}");
        }
        assert_eq!(end, filters.weights.len());
    }

    #[test]
    fn a_band_between_two_bins_is_empty() {
        let filters = MelFilters::slaney(22_050, 64, 1, 1.0, 2.0);
        assert_eq!(filters.bands, [0, 0, 0]);
        assert_eq!(filters.weights, [0.0]);
    }
}
