//! average\[e\] ← average\[e\] + weight · (value\[e\] − average\[e\]): a moving average of numbers that
//! every update changes

use crate::kernels::layers::dropout::CONTROL_WORDS;
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel, rows};

kernel! {
    "optim/average",
    params {
        /// Groups of four numbers.
        quads: u32,
    },
    tensors {
        /// \[CONTROL_WORDS\], see [`control()`](super::adam::control): its last word is the weight
        control: read u32,
        /// [quads, 4]
        value: read f32,
        /// [quads, 4]
        average: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of(rows(params.quads, 64)))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors { control: CONTROL_WORDS, ..Tensors::each(4 * self.quads as usize) }
    }

    fn cost(&self) -> Cost {
        let elements = 4.0 * f64::from(self.quads);
        Cost { flops: 3.0 * elements, bytes: 12.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let weight = T::of(f64::from(f32::from_bits(tensors.control[CONTROL_WORDS - 1])));
        for (average, &value) in tensors.average.iter_mut().zip(tensors.value) {
            *average = *average + weight * (value - *average);
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        let mut control = vec![(0, u32::MAX); CONTROL_WORDS - 1];
        control.push((0_f32.to_bits(), 1_f32.to_bits()));
        Tensors { control: Draw::WordRanges(control), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let whole = |name, weight: f32| {
            let mut control = vec![0; CONTROL_WORDS];
            control[CONTROL_WORDS - 1] = weight.to_bits();
            let control = Draw::Words(control);
            let params = Self { quads: 67 };
            Case::new(name, params).drawn(Tensors { control, ..params.draw() })
        };
        vec![
            Case::new("minimal", Self { quads: 1 }),
            Case::new("odd", Self { quads: 333 }),
            Case::new("typical", Self { quads: 140_000 }),
            whole("the value alone", 1.0),
            whole("the average alone", 0.0),
        ]
    }
}
