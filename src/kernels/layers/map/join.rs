//! A feature map, normalised, as some of the channels of a wider one.

use super::grid;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/map/join",
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
        /// [clips, quads, plane, 4]
        input: read f32,
        /// [2, quads, 4]: scale, then shift
        input_affine: read f32,
        /// [clips, out_quads, plane, 4]
        output: update f32,
        /// [2, out_quads, 4]: the scale and the shift that change nothing
        affine: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        let [quads, out_quads] = [params.channels, params.out_channels].map(|n| n.div_ceil(4));
        grid([params.clips, quads], params.plane, out_quads)
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [clips, plane] = [self.clips, self.plane].map(|n| n as usize);
        let [ins, outs] =
            [self.channels, self.out_channels].map(|n| (n as usize).next_multiple_of(4));
        Tensors {
            input: clips * ins * plane,
            input_affine: 2 * ins,
            output: clips * outs * plane,
            affine: 2 * outs,
        }
    }

    fn cost(&self) -> Cost {
        let input = self.lengths().input as f64;
        Cost { flops: 2.0 * input, bytes: 8.0 * input }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [channels, outs, first, plane] =
            [self.channels, self.out_channels, self.first, self.plane].map(|n| n as usize);
        let [padded, wide] = [channels, outs].map(|n| n.next_multiple_of(4));
        let place = |width: usize, n: usize, c: usize, p: usize| {
            ((n * width / 4 + c / 4) * plane + p) * 4 + c % 4
        };
        let fill = if first + channels == outs { wide - outs } else { 0 };
        for n in 0..self.clips as usize {
            for (c, p) in (0..channels + fill).flat_map(|c| (0..plane).map(move |p| (c, p))) {
                tensors.output[place(wide, n, first + c, p)] = match c < channels {
                    true => {
                        let x = tensors.input[place(padded, n, c, p)];
                        tensors.input_affine[c] * x + tensors.input_affine[padded + c]
                    }
                    false => T::zero(),
                };
            }
        }
        let (scale, shift) = tensors.affine.split_at_mut(wide);
        scale.fill(T::one());
        shift.fill(T::zero());
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
            Case::new("odd, in the middle", case(3, 7, 21, 5, 37)),
            Case::new("odd, the last", case(3, 6, 21, 15, 37)),
            Case::new("the last, whole quads", case(2, 4, 9, 5, 13)),
            Case::new("typical", case(4, 51, 561, 459, 187)),
        ]
    }
}
