//! x\[i\] = (½ − ½·cos(2πi/n_fft)) · samples[clip, frame·hop − padding + i], zero around the clip,
//! power[clip, frame, k] = |Σ_i x\[i\] · e^(−2πi·ik/n_fft)|²

use rayon::prelude::*;

use super::twiddles;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

/// The transform lengths that the kernel takes; only powers of two. A frame's FFT runs in workgroup
/// memory, which holds no longer one.
pub const N_FFT: std::ops::RangeInclusive<usize> = 64..=4096;

kernel! {
    "features/stft_power",
    pieces ["fourier"],
    params {
        /// Clips.
        clips: u32,
        /// Samples of a clip.
        samples: u32,
        /// Samples of a frame.
        n_fft: u32,
        /// Samples from a frame to the next.
        hop: u32,
        /// Zeros before the first sample and behind the last.
        padding: u32,
    },
    tensors {
        /// [clips, samples]
        samples: read f32,
        /// [n_fft / 2, 2], see [`twiddles`]
        twiddles: read f32,
        /// [clips, frames, n_fft / 2 + 1]: a frame's bins lie side by side, as they are made and
        /// as mel bands sum them
        power: write f32,
    },
}

impl Params {
    pub(super) fn frames(&self) -> usize {
        1 + ((self.samples + 2 * self.padding - self.n_fft) / self.hop) as usize
    }

    fn bins(&self) -> usize {
        self.n_fft as usize / 2 + 1
    }

    /// Eight of a frame's packed numbers a thread. The first pass takes what is left of the frame when
    /// radix 8 and, at the end, 4 have taken theirs.
    fn grid(&self) -> Grid {
        let packed = self.n_fft / 2;
        let threads = (packed / 8).max(64);
        let first = 2 << ((packed.ilog2() - 3) % 3);
        Grid {
            constants: [("N", packed), ("FIRST", first), ("THREADS", threads)]
                .map(|(name, value)| (name, f64::from(value)))
                .to_vec(),
            ..Grid::of([cover(self.frames() as u32, 8 * threads / packed), self.clips, 1])
        }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(Self::grid)];

    fn lengths(&self) -> Tensors<usize> {
        let [clips, samples, n_fft] = [self.clips, self.samples, self.n_fft].map(|n| n as usize);
        Tensors {
            samples: clips * samples,
            twiddles: n_fft,
            power: clips * self.frames() * self.bins(),
        }
    }

    fn cost(&self) -> Cost {
        let n_fft = f64::from(self.n_fft);
        let lengths = self.lengths();
        Cost {
            // By custom 5·N·log2 N for a complex transform, half of that for a real one.
            flops: 2.5 * n_fft * n_fft.log2() * f64::from(self.clips) * self.frames() as f64,
            bytes: 4.0 * (lengths.samples + lengths.power) as f64,
        }
    }

    /// The textbook transform of the whole frame, without the shader's packing. Frames are
    /// independent and run in parallel.
    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let (n_fft, hop) = (self.n_fft as usize, self.hop as usize);
        let frames = self.frames();
        let twiddles: Vec<[T; 2]> = tensors.twiddles.chunks(2).map(|w| [w[0], w[1]]).collect();
        let half = T::of(0.5);
        let rising = twiddles.iter().map(|&[cos, _]| half - half * cos);
        let falling = twiddles.iter().map(|&[cos, _]| half + half * cos);
        let hann: Vec<T> = rising.chain(falling).collect();
        tensors.power.par_chunks_mut(self.bins()).enumerate().for_each_init(
            || (vec![T::zero(); n_fft], vec![[T::zero(); 2]; n_fft]),
            |(signal, spectrum), (row, power)| {
                let samples = self.samples as usize;
                let clip = &tensors.samples[row / frames * samples..][..samples];
                for (i, (x, &w)) in signal.iter_mut().zip(&hann).enumerate() {
                    let at = (row % frames * hop + i).checked_sub(self.padding as usize);
                    *x = w * at.and_then(|at| clip.get(at)).copied().unwrap_or(T::zero());
                }
                fourier(signal, 1, &twiddles, spectrum);
                for (power, [re, im]) in power.iter_mut().zip(spectrum) {
                    *power = *re * *re + *im * *im;
                }
            },
        );
    }

    fn draw(&self) -> Tensors<Draw> {
        let table = twiddles(self.n_fft as usize);
        Tensors {
            twiddles: Draw::Values(table.into_iter().map(|x| x as f32).collect()),
            ..Tensors::each(Draw::NORMAL)
        }
    }

    fn cases() -> Vec<Case<Self>> {
        // As librosa centres frames.
        let centred =
            |clips, samples, n_fft, hop| Self { clips, samples, n_fft, hop, padding: n_fft / 2 };
        vec![
            Case::new("minimal", centred(1, 1, 64, 1)),
            Case::new("odd", centred(3, 1001, 256, 77)),
            Case::new("typical", centred(2, 8191, 2048, 512)),
            // With the three above, every length: each has its own sequence of passes.
            Case::new("n_fft 128", centred(1, 300, 128, 64)),
            Case::new("n_fft 512", centred(1, 2000, 512, 256)),
            Case::new("n_fft 1024", centred(1, 3000, 1024, 320)),
            Case::new("n_fft 4096", centred(1, 9000, 4096, 3000)),
            Case::new("without padding", Self { padding: 0, ..centred(2, 1001, 256, 77) }),
        ]
    }
}

/// spectrum\[k\] = Σ_i x[stride·i] · e^(−2πi·ik/n), n being the length of `spectrum`: the
/// transforms of the even and the odd elements, combined. `twiddles` are of order stride·n.
fn fourier<T: Real>(x: &[T], stride: usize, twiddles: &[[T; 2]], spectrum: &mut [[T; 2]]) {
    if let [single] = spectrum {
        *single = [x[0], T::zero()];
        return;
    }
    let (low, high) = spectrum.split_at_mut(spectrum.len() / 2);
    fourier(x, 2 * stride, twiddles, low);
    fourier(&x[stride..], 2 * stride, twiddles, high);
    for ((low, high), &[cos, sin]) in low.iter_mut().zip(high).zip(twiddles.iter().step_by(stride))
    {
        let even = *low;
        let odd = [high[0] * cos - high[1] * sin, high[0] * sin + high[1] * cos];
        *low = [even[0] + odd[0], even[1] + odd[1]];
        *high = [even[0] - odd[0], even[1] - odd[1]];
    }
}

#[cfg(test)]
mod tests {
    use super::{fourier, twiddles};

    #[test]
    fn transform_is_the_defining_sum() {
        let n = 64;
        let x: Vec<f64> = (0..n).map(|i| f64::from(i * i % 13) - 6.0).collect();
        let table: Vec<[f64; 2]> = twiddles(x.len()).chunks(2).map(|w| [w[0], w[1]]).collect();
        let mut spectrum = vec![[0.0; 2]; x.len()];
        fourier(&x, 1, &table, &mut spectrum);
        for (k, [re, im]) in (0..n).zip(spectrum) {
            let turn = |i: i32| std::f64::consts::TAU * f64::from(i * k % n) / f64::from(n);
            let want_re: f64 = (0..n).zip(&x).map(|(i, x)| x * turn(i).cos()).sum();
            let want_im: f64 = (0..n).zip(&x).map(|(i, x)| -x * turn(i).sin()).sum();
            assert!((re - want_re).hypot(im - want_im) < 1e-11, "bin {k}");
        }
    }
}
