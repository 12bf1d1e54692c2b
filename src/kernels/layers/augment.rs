//! Clips as training hears them: output = hidden ? mean : weight · input + (1 − weight) · input\[partner\]

use rayon::prelude::*;

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

/// Words of what is done to a clip: partner, weight (the bits of a float), first band, hidden bands,
/// first step, hidden steps.
pub const CHANGE_WORDS: usize = 6;

kernel! {
    "layers/augment",
    params {
        /// Clips.
        batch: u32,
        /// Bands of a clip.
        bands: u32,
        /// Steps of a clip.
        steps: u32,
        /// What is hidden becomes this.
        mean: f32,
    },
    tensors {
        /// [batch, CHANGE_WORDS]
        changes: read u32,
        /// [batch, bands, steps]
        input: read f32,
        /// [batch, bands, steps]
        output: write f32,
    },
}

impl Params {
    fn size(&self) -> usize {
        (self.bands * self.steps) as usize
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.size() as u32, 64), params.batch, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        let batch = self.batch as usize;
        Tensors { changes: CHANGE_WORDS * batch, ..Tensors::each(batch * self.size()) }
    }

    fn cost(&self) -> Cost {
        let elements = (self.batch as usize * self.size()) as f64;
        Cost { flops: 3.0 * elements, bytes: 12.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { changes, input, output } = tensors;
        let size = self.size();
        let clips = output.par_chunks_mut(size).zip(changes.par_chunks(CHANGE_WORDS)).enumerate();
        clips.for_each(|(clip, (output, change))| {
            let &[partner, weight, first_band, bands, first_step, steps] = change else {
                unreachable!("a change has {CHANGE_WORDS} words")
            };
            let weight = T::of(f64::from(f32::from_bits(weight)));
            let (own, other) = (&input[clip * size..], &input[partner as usize * size..]);
            for (i, to) in output.iter_mut().enumerate() {
                let (band, step) = (i as u32 / self.steps, i as u32 % self.steps);
                let hidden = (first_band..first_band + bands).contains(&band)
                    || (first_step..first_step + steps).contains(&step);
                *to = match hidden {
                    true => T::of(f64::from(self.mean)),
                    false => weight * own[i] + (T::one() - weight) * other[i],
                };
            }
        });
    }

    fn draw(&self) -> Tensors<Draw> {
        let one = f32::to_bits(1.0);
        let change = [
            (0, self.batch - 1),
            (f32::to_bits(0.5), one),
            (0, self.bands - 1),
            (0, self.bands.div_ceil(4)),
            (0, self.steps - 1),
            (0, self.steps.div_ceil(4)),
        ];
        let changes = change.into_iter().cycle().take(CHANGE_WORDS * self.batch as usize);
        Tensors { changes: Draw::WordRanges(changes.collect()), ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |batch, bands, steps| Self { batch, bands, steps, mean: 0.25 };
        let untouched = params(2, 5, 7);
        let changes = [1, f32::to_bits(1.0), 3, 0, 0, 0, 0, f32::to_bits(1.0), 0, 5, 0, 0];
        vec![
            Case::new("minimal", params(1, 1, 1)),
            Case::new("odd", params(3, 17, 41)),
            Case::new("typical", params(8, 128, 323)),
            Case::new("nothing done, and all hidden", untouched)
                .drawn(Tensors { changes: Draw::Words(changes.to_vec()), ..untouched.draw() }),
        ]
    }
}
