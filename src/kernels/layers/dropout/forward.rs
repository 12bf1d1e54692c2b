//! output[e] = keep(e) ? input[e] / keep_probability : 0, and with gradients for both the backward pass

use super::{CONTROL_WORDS, hash, keep_below};
use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/dropout/forward",
    params {
        /// Numbers in the tensors.
        elements: u32,
        /// The counter of the first, so that no two layers drop the same.
        first: u32,
        /// An element is kept where its random word is below this.
        keep_below: u32,
        /// 1 / the probability to keep an element.
        scale: f32,
    },
    tensors {
        /// \[CONTROL_WORDS\], see [`super`]
        control: read u32,
        /// \[elements\]
        input: read f32,
        /// \[elements\]
        output: write f32,
    },
}

impl Params {
    /// Keeps each element with probability `keep`.
    pub fn new(elements: u32, keep: f64) -> Self {
        Self { elements, first: 0, keep_below: keep_below(keep), scale: (1.0 / keep) as f32 }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.elements, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let elements = self.elements as usize;
        Tensors { control: CONTROL_WORDS, input: elements, output: elements }
    }

    fn cost(&self) -> Cost {
        Cost { flops: f64::from(self.elements), bytes: 8.0 * f64::from(self.elements) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        for (element, (to, &from)) in (0_u32..).zip(tensors.output.iter_mut().zip(tensors.input)) {
            let kept = hash(element.wrapping_add(self.first), tensors.control) < self.keep_below;
            *to = if kept { from * T::of(f64::from(self.scale)) } else { T::zero() };
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        Tensors { control: Draw::Below(u32::MAX), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let mut control = [0; CONTROL_WORDS];
        [control[0], control[1]] = [3, 41];
        let equal = Self { keep_below: hash(7, &control), ..Self::new(333, 0.5) };
        vec![
            Case::new("minimal", Self::new(1, 0.5)),
            Case::new("odd", Self::new(333, 0.7)),
            Case::new("typical", Self::new(32 * 128, 0.5)),
            Case::new("a later layer", Self { first: 1 << 24, ..Self::new(100, 0.5) }),
            Case::new("hash equal to the bound", equal)
                .drawn(Tensors { control: Draw::Words(control.to_vec()), ..equal.draw() }),
        ]
    }
}
