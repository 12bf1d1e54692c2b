//! Gradient of [`super::join`] to one of the maps.

use super::grid;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/map/split",
    params {
        /// Clips.
        clips: u32,
        /// Channels of the map.
        channels: u32,
        /// Channels of the wider map.
        out_channels: u32,
        /// The first of the map's channels in the wider map.
        first: u32,
        /// Places of a map.
        plane: u32,
    },
    tensors {
        /// [clips, out_quads, plane, 4]
        d_output: read f32,
        /// [clips, quads, plane, 4]
        d_input: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        grid([params.clips, params.channels.div_ceil(4)], params.plane, 0)
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [clips, plane] = [self.clips, self.plane].map(|n| n as usize);
        let [ins, outs] =
            [self.channels, self.out_channels].map(|n| (n as usize).next_multiple_of(4));
        Tensors { d_output: clips * outs * plane, d_input: clips * ins * plane }
    }

    fn cost(&self) -> Cost {
        Cost { flops: 0.0, bytes: 8.0 * self.lengths().d_input as f64 }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [channels, outs, first, plane] =
            [self.channels, self.out_channels, self.first, self.plane].map(|n| n as usize);
        let [quads, wide] = [channels, outs].map(|n| n.div_ceil(4));
        for (at, d) in tensors.d_input.iter_mut().enumerate() {
            let (c, p) = (at % 4, at / 4 % plane);
            let (q, n) = (at / 4 / plane % quads, at / 4 / plane / quads);
            let channel = first + 4 * q + c;
            *d = match 4 * q + c < channels {
                true => tensors.d_output[((n * wide + channel / 4) * plane + p) * 4 + channel % 4],
                false => T::zero(),
            };
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |clips, channels, out_channels, first, plane| Self {
            clips,
            channels,
            out_channels,
            first,
            plane,
        };
        vec![
            Case::new("minimal", case(1, 1, 1, 0, 1)),
            Case::new("odd", case(3, 7, 21, 5, 37)),
            Case::new("typical", case(4, 51, 561, 459, 187)),
        ]
    }
}
