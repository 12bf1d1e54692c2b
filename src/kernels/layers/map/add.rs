//! The sum of two feature maps, each normalised.

use super::grid;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Kernel, Real, Schedule, kernel};

kernel! {
    "layers/map/add",
    params {
        /// Clips.
        clips: u32,
        /// Quads of channels.
        quads: u32,
        /// Places of a map.
        plane: u32,
    },
    tensors {
        /// [clips, quads, plane, 4]
        a: read f32,
        /// [2, quads, 4]: scale, then shift
        a_affine: read f32,
        /// [clips, quads, plane, 4]
        b: read f32,
        /// [2, quads, 4]: scale, then shift
        b_affine: read f32,
        /// [clips, quads, plane, 4]
        output: write f32,
        /// [2, quads, 4]: the scale and the shift that change nothing
        affine: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        grid([params.clips, params.quads], params.plane, params.quads)
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [clips, quads, plane] = [self.clips, self.quads, self.plane].map(|n| n as usize);
        let map = clips * quads * plane * 4;
        let affine = 8 * quads;
        Tensors { a: map, a_affine: affine, b: map, b_affine: affine, output: map, affine }
    }

    fn cost(&self) -> Cost {
        let output = self.lengths().output as f64;
        Cost { flops: 5.0 * output, bytes: 12.0 * output }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let [quads, plane] = [self.quads, self.plane].map(|n| n as usize);
        for (at, y) in tensors.output.iter_mut().enumerate() {
            let c = at / 4 / plane % quads * 4 + at % 4;
            let normal = |x: &[T], affine: &[T]| affine[c] * x[at] + affine[4 * quads + c];
            *y = normal(tensors.a, tensors.a_affine) + normal(tensors.b, tensors.b_affine);
        }
        let (scale, shift) = tensors.affine.split_at_mut(4 * quads);
        scale.fill(T::one());
        shift.fill(T::zero());
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { clips: 1, quads: 1, plane: 1 }),
            Case::new("odd", Self { clips: 3, quads: 37, plane: 5 }),
            Case::new("typical", Self { clips: 4, quads: 16, plane: 187 }),
        ]
    }
}
