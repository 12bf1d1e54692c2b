//! peak\[clip\] = max_i energies[clip, i]

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel};

kernel! {
    "features/peak",
    params {
        /// Clips.
        clips: u32,
        /// Elements of a clip.
        size: u32,
    },
    tensors {
        /// [clips, size], none below zero
        energies: read f32,
        /// \[clips\]
        peak: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([params.clips, 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let (clips, size) = (self.clips as usize, self.size as usize);
        Tensors { energies: clips * size, peak: clips }
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().energies as f64;
        Cost { flops: elements, bytes: 4.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        for (peak, clip) in tensors.peak.iter_mut().zip(tensors.energies.chunks(self.size as usize))
        {
            *peak = clip.iter().copied().fold(T::zero(), T::max);
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { energies: Draw::Uniform(0.0, 1.0), peak: Draw::NORMAL }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { clips: 1, size: 1 }),
            Case::new("odd", Self { clips: 3, size: 1001 }),
            Case::new("typical", Self { clips: 4, size: 128 * 130 }),
        ]
    }
}
