//! logarithms\[i\] = log10(1 + 10000 · energies\[i\])

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel, rows};

/// What energies are multiplied with.
const GAIN: f64 = 1e4;

kernel! {
    "features/logarithms",
    pieces ["in_decibels"],
    params {
        /// Elements of all clips.
        elements: u32,
    },
    tensors {
        /// \[elements\]
        energies: read f32,
        /// \[elements\]
        logarithms: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of(rows(params.elements, 64)))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors::each(self.elements as usize)
    }

    fn cost(&self) -> Cost {
        // The logarithm is about 25 operations.
        let elements = f64::from(self.elements);
        Cost { flops: 27.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let energies = tensors.energies.par_iter();
        tensors.logarithms.par_iter_mut().zip(energies).for_each(|(to, &energy)| {
            *to = (T::one() + T::of(GAIN) * energy).log10();
        });
    }

    /// Energies spread over ten powers of ten, and a zero. Of smaller ones, single precision keeps too
    /// little beside 1 to be compared closely.
    fn draw(&self) -> Tensors<Draw> {
        let golden = 0.618_033_988_75;
        let energy = |i: u32| match i {
            1 => (0.0, 0.0),
            i => {
                let middle = 10_f64.powf((golden * f64::from(i)).fract() * 10.0 - 6.0);
                (0.5 * middle, 2.0 * middle)
            }
        };
        Tensors {
            energies: Draw::Ranges((0..self.elements).map(energy).collect()),
            logarithms: Draw::NORMAL,
        }
    }

    fn cases() -> Vec<Case<Self>> {
        vec![
            Case::new("minimal", Self { elements: 1 }),
            Case::new("odd", Self { elements: 1001 }),
            Case::new("typical, in rows", Self { elements: 4 * 96 * 187 }),
        ]
    }
}
