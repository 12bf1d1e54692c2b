//! d_h[n, steps − 1, 0, u] = d_features[first + n, offset + u], d_h[n, 0, 1, u] = d_features[first + n, offset +
//! units + u], and zero at every other step

use super::LastStates;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/last_state_gradient",
    params {
        /// The states.
        states: LastStates,
    },
    tensors {
        /// [rows, width]
        d_features: read f32,
        /// [batch, steps, 2, units]
        d_hidden: write f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(2 * params.states.steps * params.states.units, 64), params.states.batch, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [d_hidden, d_features] = self.states.lengths();
        Tensors { d_features, d_hidden }
    }

    fn cost(&self) -> Cost {
        let states = 2.0 * f64::from(self.states.batch) * f64::from(self.states.units);
        Cost { flops: 0.0, bytes: 4.0 * states * (1.0 + f64::from(self.states.steps)) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let LastStates { steps, units, first, width, offset, .. } = self.states;
        let [steps, units, first, width, offset] =
            [steps, units, first, width, offset].map(|n| n as usize);
        tensors.d_hidden.fill(T::zero());
        let clips = tensors.d_hidden.chunks_mut(steps * 2 * units);
        let rows = tensors.d_features.chunks(width).skip(first);
        for (d_hidden, d_features) in clips.zip(rows) {
            let (up, down) = d_features[offset..][..2 * units].split_at(units);
            d_hidden[(steps - 1) * 2 * units..][..units].copy_from_slice(up);
            d_hidden[units..][..units].copy_from_slice(down);
        }
    }

    fn cases() -> Vec<Case<Self>> {
        LastStates::cases(|states| Self { states })
    }
}
