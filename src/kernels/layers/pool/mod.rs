//! Max pooling. It runs on what batch norm has yet to scale, so that the full-size normalised
//! activation never exists; `batch_norm/backward` takes the gradient through both.

pub mod forward;

use crate::kernels::verify::Case;
use crate::kernels::{Kernel, parameters};

parameters! {
    /// Planes and the windows that pooling makes one position of.
    pub struct Windows {
        /// Bands of a plane.
        pub bands: u32,
        /// Steps of a plane.
        pub steps: u32,
        /// Bands of a window.
        pub window_bands: u32,
        /// Steps of a window.
        pub window_steps: u32,
    }
}

impl Windows {
    /// Windows in a plane, both [bands, steps].
    pub fn new([bands, steps]: [u32; 2], [window_bands, window_steps]: [u32; 2]) -> Self {
        Self { bands, steps, window_bands, window_steps }
    }

    /// Positions of a plane.
    pub(super) fn plane(&self) -> usize {
        (self.bands * self.steps) as usize
    }

    /// Whole windows of a plane.
    pub(super) fn pooled(&self) -> usize {
        (self.bands / self.window_bands) as usize * (self.steps / self.window_steps) as usize
    }

    /// The positions of a whole window, in row-major order.
    pub(super) fn positions(&self, window: usize) -> impl Iterator<Item = usize> + use<> {
        let [steps, window_bands, window_steps] =
            [self.steps, self.window_bands, self.window_steps].map(|n| n as usize);
        let pooled_steps = steps / window_steps;
        let band = window / pooled_steps * window_bands;
        let step = window % pooled_steps * window_steps;
        (band..band + window_bands)
            .flat_map(move |band| (step..step + window_steps).map(move |step| band * steps + step))
    }

    /// What pooling and its gradient are verified at, given batch and channels.
    pub(super) fn cases<K: Kernel>(params: impl Fn(u32, u32, Self) -> K) -> Vec<Case<K>> {
        let case = |name, batch, channels, plane, window| {
            Case::new(name, params(batch, channels, Self::new(plane, window)))
        };
        vec![
            case("minimal", 1, 1, [1, 1], [1, 1]),
            case("odd", 3, 7, [7, 41], [3, 2]),
            case("no window", 2, 64, [2, 20], [1, 1]),
            case("typical", 1, 16, [64, 646], [2, 2]),
        ]
    }
}
