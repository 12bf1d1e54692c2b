//! A branch's last feature map, normalised, as a sequence.

use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/sequence/forward",
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
        /// [batch, quads, bands, steps, 4]
        input: read f32,
        /// [2, quads, 4]: scale, then shift
        affine: read f32,
        /// [batch, steps, channels · bands]
        output: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.lengths().output as u32, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let [batch, channels, bands, steps] =
            [self.batch, self.channels, self.bands, self.steps].map(|n| n as usize);
        let padded = channels.next_multiple_of(4);
        Tensors {
            input: batch * padded * bands * steps,
            affine: 2 * padded,
            output: batch * steps * channels * bands,
        }
    }

    fn cost(&self) -> Cost {
        let output = self.lengths().output as f64;
        Cost { flops: 2.0 * output, bytes: 8.0 * output }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [channels, bands, steps] = [self.channels, self.bands, self.steps].map(|n| n as usize);
        let padded = channels.next_multiple_of(4);
        for (at, y) in tensors.output.iter_mut().enumerate() {
            let (b, c) = (at % bands, at / bands % channels);
            let (t, n) = (at / bands / channels % steps, at / bands / channels / steps);
            let from = (((n * padded / 4 + c / 4) * bands + b) * steps + t) * 4 + c % 4;
            *y = tensors.affine[c] * tensors.input[from] + tensors.affine[padded + c];
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
