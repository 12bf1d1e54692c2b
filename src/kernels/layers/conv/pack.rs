//! Rearranges weights into 4 × 4 matrices, for the forward pass and, reversed and transposed, for
//! the input gradient.

use super::{Taps, quad_matrices};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Kernel, Real, cover, kernel};

kernel! {
    "layers/conv/pack",
    params { in_channels: u32, out_channels: u32, stored: u32, first: u32, taps: u32, padded: u32 },
    tensors {
        /// [out_channels, in_channels, stored]
        weight: read f32,
        /// Of each output quad, [in_quads, padded] of 4 × 4, column-major, filled up to [`quad_matrices`]
        forward: write f32,
        /// Of each input quad, [out_quads, padded] of 4 × 4, column-major, filled up likewise
        backward: write f32,
    },
}

impl Params {
    pub fn new(in_channels: u32, out_channels: u32, taps: Taps) -> Self {
        Self {
            in_channels,
            out_channels,
            stored: taps.stored,
            first: taps.first,
            taps: taps.used,
            padded: 3 * taps.groups(),
        }
    }

    /// Matrices of the forward and of the reversed weights.
    pub fn matrices(&self) -> [u32; 2] {
        let [ins, outs] = [self.in_channels, self.out_channels].map(|n| n.div_ceil(4));
        let groups = self.padded / 3;
        [outs * quad_matrices(ins, groups), ins * quad_matrices(outs, groups)]
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
        let [ins, outs, stored, first, taps, padded] =
            [self.in_channels, self.out_channels, self.stored, self.first, self.taps, self.padded]
                .map(|n| n as usize);
        let groups = self.padded / 3;
        let [of_output, of_input] =
            [ins, outs].map(|n| quad_matrices(n.div_ceil(4) as u32, groups) as usize);
        tensors.forward.fill(T::zero());
        tensors.backward.fill(T::zero());
        for o in 0..outs {
            for i in 0..ins {
                for t in 0..taps {
                    let w = tensors.weight[(o * ins + i) * stored + first + t];
                    let forward = o / 4 * of_output + i / 4 * padded + t;
                    tensors.forward[16 * forward + 4 * (i % 4) + o % 4] = w;
                    let backward = i / 4 * of_input + o / 4 * padded + taps - 1 - t;
                    tensors.backward[16 * backward + 4 * (o % 4) + i % 4] = w;
                }
            }
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { weight: Draw::NORMAL, forward: Draw::NORMAL, backward: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self::new(1, 1, Taps::new(1, 1))),
            Case::new("odd", Self::new(5, 7, Taps::new(5, 9))),
            Case::new("taps that only meet padding", Self::new(6, 4, Taps::new(9, 2))),
            Case::new("typical", Self::new(32, 64, Taps::new(9, 80))),
        ]
    }
}
