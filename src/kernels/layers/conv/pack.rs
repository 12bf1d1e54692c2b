//! Rearranges weights into 4 × 4 matrices, for the forward pass and, reversed and transposed, for
//! the input gradient.

use super::{Footprint, Lines, quad_matrices};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/pack",
    params {
        in_channels: u32,
        out_channels: u32,
        stored: u32,
        first: u32,
        along_stride: u32,
        across_stride: u32,
        taps: u32,
        padded: u32,
        rows: u32,
    },
    tensors {
        /// [out_channels, in_channels, stored]
        weight: read f32,
        /// Of each output quad, [in_quads, rows, padded] of 4 × 4, column-major, filled up to [`quad_matrices`]
        forward: write f32,
        /// Of each input quad, [out_quads, rows, padded] of 4 × 4, column-major, filled up likewise
        backward: write f32,
    },
}

impl Params {
    /// For the weights of one convolution.
    pub fn new(in_channels: u32, out_channels: u32, footprint: Footprint) -> Self {
        Self {
            in_channels,
            out_channels,
            stored: footprint.stored(),
            first: footprint.first(),
            along_stride: footprint.along_stride,
            across_stride: footprint.across_stride,
            taps: footprint.along.used,
            padded: 3 * footprint.along.groups(),
            rows: footprint.across.used,
        }
    }

    /// Matrices that a quad takes for this many channels on the other side.
    fn quad_matrices(&self, channels: u32) -> u32 {
        quad_matrices(channels.div_ceil(4), self.rows, self.padded / 3)
    }

    /// Matrices of the forward and of the reversed weights.
    pub fn matrices(&self) -> [u32; 2] {
        let [ins, outs] = [self.in_channels, self.out_channels];
        [outs.div_ceil(4) * self.quad_matrices(ins), ins.div_ceil(4) * self.quad_matrices(outs)]
    }
}

impl Kernel for Params {
    fn lengths(&self) -> Tensors<usize> {
        let [forward, backward] = self.matrices().map(|n| 16 * n as usize);
        let weight = (self.out_channels * self.in_channels * self.stored) as usize;
        Tensors { weight, forward, backward }
    }

    fn workgroups(&self) -> [u32; 3] {
        let [forward, backward] = self.matrices();
        [cover(forward.max(backward), 64), 1, 1]
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 0.0,
            bytes: 4.0 * (lengths.weight + lengths.forward + lengths.backward) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let of_output = self.quad_matrices(self.in_channels);
        let of_input = self.quad_matrices(self.out_channels);
        tensors.forward.fill(T::zero());
        tensors.backward.fill(T::zero());
        let mut put = |matrix: u32, column: u32, row: u32, reversed: bool, w: T| {
            let to = if reversed { &mut *tensors.backward } else { &mut *tensors.forward };
            to[(16 * matrix + 4 * column + row) as usize] = w;
        };
        for (o, of_out) in
            (0..).zip(tensors.weight.chunks((self.in_channels * self.stored) as usize))
        {
            for (i, taps) in (0..).zip(of_out.chunks(self.stored as usize)) {
                for (r, t) in (0..self.rows).flat_map(|r| (0..self.taps).map(move |t| (r, t))) {
                    let place = self.first + r * self.across_stride + t * self.along_stride;
                    let w = taps[place as usize];
                    let forward = (i / 4 * self.rows + r) * self.padded + t;
                    put(o / 4 * of_output + forward, i % 4, o % 4, false, w);
                    let [r, t] = [self.rows - 1 - r, self.taps - 1 - t];
                    let backward = (o / 4 * self.rows + r) * self.padded + t;
                    put(i / 4 * of_input + backward, o % 4, i % 4, true, w);
                }
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { weight: Draw::NORMAL, forward: Draw::NORMAL, backward: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        let case = |ins, outs, kernel, bands, steps| {
            Self::new(ins, outs, Footprint::new(kernel, Lines::new(kernel, bands, steps)))
        };
        vec![
            Case::new("minimal", case(1, 1, [1, 1], 1, 1)),
            Case::new("odd", case(5, 7, [1, 5], 3, 9)),
            Case::new("odd, over both", case(5, 7, [5, 3], 9, 9)),
            Case::new("taps that only meet padding", case(6, 4, [9, 1], 2, 3)),
            Case::new("rows that only meet padding", case(3, 6, [5, 9], 2, 30)),
            Case::new("typical", case(32, 64, [1, 9], 8, 80)),
        ]
    }
}
