//! output[clip, i] = (input[clip, i] − mean_i) · inverse_i

use super::HANDCRAFTED;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "features/standardise_handcrafted",
    params {
        /// Clips.
        clips: u32,
        /// Of feature 0 over the training clips.
        mean_0: f32,
        /// Of feature 1 over the training clips.
        mean_1: f32,
        /// Of feature 2 over the training clips.
        mean_2: f32,
        /// Of feature 3 over the training clips.
        mean_3: f32,
        /// Of feature 4 over the training clips.
        mean_4: f32,
        /// Of feature 5 over the training clips.
        mean_5: f32,
        /// 1 / the deviation of feature 0 over the training clips.
        inverse_0: f32,
        /// 1 / the deviation of feature 1 over the training clips.
        inverse_1: f32,
        /// 1 / the deviation of feature 2 over the training clips.
        inverse_2: f32,
        /// 1 / the deviation of feature 3 over the training clips.
        inverse_3: f32,
        /// 1 / the deviation of feature 4 over the training clips.
        inverse_4: f32,
        /// 1 / the deviation of feature 5 over the training clips.
        inverse_5: f32,
    },
    tensors {
        /// [clips, 6]: see [`HANDCRAFTED`]
        input: read f32,
        /// [clips, 6]
        output: write f32,
    },
}

impl Params {
    /// From means and deviations over the training clips, each in its feature's unit.
    pub fn new(clips: u32, mean: [f64; HANDCRAFTED], std: [f64; HANDCRAFTED]) -> Self {
        let [mean_0, mean_1, mean_2, mean_3, mean_4, mean_5] = mean.map(|x| x as f32);
        let [inverse_0, inverse_1, inverse_2, inverse_3, inverse_4, inverse_5] =
            std.map(|x| x.recip() as f32);
        Self {
            clips,
            mean_0,
            mean_1,
            mean_2,
            mean_3,
            mean_4,
            mean_5,
            inverse_0,
            inverse_1,
            inverse_2,
            inverse_3,
            inverse_4,
            inverse_5,
        }
    }

    /// Mean and inverse deviation of each feature.
    fn pairs(&self) -> [[f32; 2]; HANDCRAFTED] {
        [
            [self.mean_0, self.inverse_0],
            [self.mean_1, self.inverse_1],
            [self.mean_2, self.inverse_2],
            [self.mean_3, self.inverse_3],
            [self.mean_4, self.inverse_4],
            [self.mean_5, self.inverse_5],
        ]
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of([cover(params.clips, 64), 1, 1]))];

    fn lengths(&self) -> Tensors<usize> {
        Tensors::each(self.clips as usize * HANDCRAFTED)
    }

    fn cost(&self) -> Cost {
        let elements = self.lengths().output as f64;
        Cost { flops: 2.0 * elements, bytes: 8.0 * elements }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let clips = tensors.input.chunks(HANDCRAFTED);
        for (features, output) in clips.zip(tensors.output.chunks_mut(HANDCRAFTED)) {
            for ((y, &x), pair) in output.iter_mut().zip(features).zip(self.pairs()) {
                let [mean, inverse] = pair.map(|x| T::of(f64::from(x)));
                *y = (x - mean) * inverse;
            }
        }
    }

    fn cases() -> Vec<Case<Self>> {
        let params = |clips| {
            let mean = [0.25, 0.5, 3.0, -0.75, 2.0, 4.5];
            let std = [0.125, 0.25, 3.0, 0.75, 1.5, 2.5];
            Self::new(clips, mean, std)
        };
        vec![
            Case::new("minimal", params(1)),
            Case::new("odd", params(67)),
            Case::new("typical", params(32)),
        ]
    }
}
