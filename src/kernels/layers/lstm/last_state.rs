//! features[first + n, offset + u] = h[n, steps − 1, 0, u], features[first + n, offset + units + u] = h[n, 0, 1, u]

use super::LastStates;
use crate::kernels::verify::Case;
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, cover, kernel};

kernel! {
    "layers/lstm/last_state",
    params {
        /// The states.
        states: LastStates,
    },
    tensors {
        /// [batch, steps, 2, units]
        hidden: read f32,
        /// [rows, width]: other branches write the other columns
        features: update f32,
    },
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] = &[Schedule::general(|params| {
        Grid::of([cover(2 * params.states.batch * params.states.units, 64), 1, 1])
    })];

    fn lengths(&self) -> Tensors<usize> {
        let [hidden, features] = self.states.lengths();
        Tensors { hidden, features }
    }

    fn cost(&self) -> Cost {
        let LastStates { batch, units, .. } = self.states;
        Cost { flops: 0.0, bytes: 16.0 * f64::from(batch) * f64::from(units) }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let LastStates { steps, units, first, width, offset, .. } = self.states;
        let [steps, units, first, width, offset] =
            [steps, units, first, width, offset].map(|n| n as usize);
        let clips = tensors.hidden.chunks(steps * 2 * units);
        let rows = tensors.features.chunks_mut(width).skip(first);
        for (hidden, features) in clips.zip(rows) {
            let (up, down) = features[offset..][..2 * units].split_at_mut(units);
            up.copy_from_slice(&hidden[(steps - 1) * 2 * units..][..units]);
            down.copy_from_slice(&hidden[units..][..units]);
        }
    }

    fn cases() -> Vec<Case<Self>> {
        LastStates::cases(|states| Self { states })
    }
}
