//! Gradient of a sequence as a feature map.

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/sequence/backward",
    params {
        /// Clips.
        batch: u32,
        /// Channels.
        channels: u32,
        /// Bands of a plane.
        bands: u32,
        /// Steps of a plane.
        steps: u32,
    },
    tensors {
        /// [batch, steps, channels · bands]
        d_output: read f32,
        /// [batch, quads, bands, steps, 4]
        d_input: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.lengths().d_input as u32, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, channels, bands, steps] =
            [self.batch, self.channels, self.bands, self.steps].map(|n| n as usize);
        Tensors {
            d_output: batch * steps * channels * bands,
            d_input: batch * channels.next_multiple_of(4) * bands * steps,
        }
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 8.0 * self.lengths().d_output as f64 }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [channels, bands, steps] = [self.channels, self.bands, self.steps].map(|n| n as usize);
        let quads = channels.div_ceil(4);
        for (at, dx) in tensors.d_input.iter_mut().enumerate() {
            let (t, b) = (at / 4 % steps, at / 4 / steps % bands);
            let plane = at / 4 / steps / bands;
            let (c, n) = (4 * (plane % quads) + at % 4, plane / quads);
            *dx = if c < channels {
                tensors.d_output[(n * steps + t) * channels * bands + c * bands + b]
            } else {
                T::zero()
            };
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { batch: 1, channels: 1, bands: 1, steps: 1 }),
            Case::new("odd", Self { batch: 3, channels: 7, bands: 3, steps: 11 }),
            Case::new("typical", Self { batch: 8, channels: 64, bands: 2, steps: 20 }),
        ]
    }
}
