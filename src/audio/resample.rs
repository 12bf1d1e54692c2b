//! Band-limited resampling by `rubato`'s synchronous FFT resampler, block by block.
//!
//! Each output block depends on two input blocks only, its own and the one before, and blocks lie on
//! a fixed grid from the start of the file. So any stretch of the output can be made from a stretch
//! of the input, with the very bits that resampling the whole file would give.

use std::ops::Range;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, WindowFunction};

use crate::error::{Error, Result};

/// Rates beyond these are a damaged header, and would ask for absurd block sizes.
const RATES: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// A block has at least this many samples on both sides. With this window the response is flat to
/// 97 % of the lower Nyquist frequency and below -120 dB beyond it.
const MIN_BLOCK: usize = 1024;

/// Converts mono samples from one rate to another.
pub struct Resampler {
    fft: Fft<f32>,
    from: u64,
    to: u64,
    /// Samples of a block, before and after.
    block_in: usize,
    block_out: usize,
}

impl Resampler {
    /// # Errors
    /// A rate lies outside 1 kHz to 768 kHz.
    pub fn new(from: u32, to: u32) -> Result<Self> {
        Self::check(from)?;
        Self::check(to)?;
        let divisor = greatest_common_divisor(from, to);
        let (unit_in, unit_out) = ((from / divisor) as usize, (to / divisor) as usize);
        // An even number of units makes the delay, half a block, whole on both sides.
        let units = MIN_BLOCK.div_ceil(unit_in.min(unit_out)).next_multiple_of(2);
        let (block_in, block_out) = (units * unit_in, units * unit_out);
        let fft = Fft::new_custom(
            from as usize,
            to as usize,
            block_in,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Both,
        )
        .map_err(|error| Error::failure(format!("cannot resample {from} to {to} Hz: {error}")))?;
        Ok(Self { fft, from: from.into(), to: to.into(), block_in, block_out })
    }

    /// # Errors
    /// `rate` lies outside 1 kHz to 768 kHz.
    pub fn check(rate: u32) -> Result<()> {
        if RATES.contains(&rate) {
            return Ok(());
        }
        Err(Error::input(format!(
            "a sample rate of {rate} Hz is outside {} to {} Hz",
            RATES.start(),
            RATES.end()
        )))
    }

    /// ceil(n · to / from): the samples that n input samples become.
    pub fn output_length(&self, input_length: u64) -> u64 {
        let length = u128::from(input_length) * u128::from(self.to);
        u64::try_from(length.div_ceil(self.from.into())).unwrap_or(u64::MAX)
    }

    /// The input samples that `output` is made of. It starts on the block grid; what lies past the
    /// end of the input may be left away.
    pub fn input_for(&self, output: &Range<u64>) -> Range<u64> {
        let blocks = self.blocks_for(output);
        let (first, end) = (blocks.start.saturating_sub(1), blocks.end);
        first * self.block_in as u64..end * self.block_in as u64
    }

    /// Computes `output` from `input`, whose first sample is number `input_start` of the file, as
    /// [`Self::input_for`] gives it. The input counts as zero after its end.
    ///
    /// # Errors
    /// Only where the resampler itself fails.
    pub fn resample(
        &mut self,
        input: &[f32],
        input_start: u64,
        output: Range<u64>,
    ) -> Result<Vec<f32>> {
        let blocks = self.blocks_for(&output);
        let skipped = output.start + self.delay() - blocks.start * self.block_out as u64;
        let length = (output.end - output.start) as usize;
        let mut samples = Vec::with_capacity(length + 2 * self.block_out);
        let mut block_in = vec![0.0; self.block_in];
        let mut block_out = vec![0.0; self.block_out];
        self.fft.reset();
        for block in input_start / self.block_in as u64..blocks.end {
            let offset = (block * self.block_in as u64 - input_start) as usize;
            let present = input.get(offset..).unwrap_or_default();
            let present = &present[..present.len().min(self.block_in)];
            block_in[..present.len()].copy_from_slice(present);
            block_in[present.len()..].fill(0.0);
            self.process(&block_in, &mut block_out)?;
            if block >= blocks.start {
                samples.extend_from_slice(&block_out);
            }
        }
        samples.drain(..skipped as usize);
        samples.truncate(length);
        Ok(samples)
    }

    fn process(&mut self, block_in: &[f32], block_out: &mut [f32]) -> Result<()> {
        let (from, to) = (self.from, self.to);
        let failed =
            |cause: String| Error::failure(format!("cannot resample {from} to {to} Hz: {cause}"));
        let input = InterleavedSlice::new(block_in, 1, self.block_in)
            .map_err(|error| failed(error.to_string()))?;
        let mut output = InterleavedSlice::new_mut(block_out, 1, self.block_out)
            .map_err(|error| failed(error.to_string()))?;
        self.fft
            .process_into_buffer(&input, &mut output, None)
            .map_err(|error| failed(error.to_string()))?;
        Ok(())
    }

    /// Samples by which the filter delays its output.
    fn delay(&self) -> u64 {
        self.block_out as u64 / 2
    }

    /// The blocks whose delayed output covers `output`.
    fn blocks_for(&self, output: &Range<u64>) -> Range<u64> {
        let (delay, block) = (self.delay(), self.block_out as u64);
        (output.start + delay) / block..(output.end + delay).div_ceil(block)
    }
}

fn greatest_common_divisor(mut a: u32, mut b: u32) -> u32 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}
