//! Bidirectional LSTM, gates in PyTorch's order i, f, g, o, one trained bias a gate.
//!
//! Direction 0 walks the steps upwards, direction 1 downwards; every kernel does both. Weights are
//! views over both directions in PyTorch's layout: weight_ih [2, 4, units, features],
//! weight_hh [2, 4, units, units], bias [2, 4, units]. Between the kernels a unit's four gates lie
//! together: gates and d_gates are [2, batch, steps, units, 4].
//!
//! Forward, with weights packed as [`packing()`] says: `input_product`, `recurrence_forward`, and
//! `last_state` where only the walks' ends are wanted. Backward: `last_state_gradient`, `recurrence_backward`, then in
//! any order `weight_gradient`, `recurrent_gradient`, `input_gradient`.

pub mod input_gradient;
pub mod input_product;
pub mod last_state;
pub mod last_state_gradient;
mod packing;
pub mod recurrence_backward;
pub mod recurrence_forward;
pub mod recurrent_gradient;
pub mod weight_gradient;

#[cfg(test)]
mod tests;

use crate::kernels::Real;

pub use packing::packing;

/// Units of one direction that the recurrences can hold: 16 KiB of workgroup memory forward.
pub const MAX_UNITS: u32 = 256;

/// Threads of a recurrence's workgroup for `shares` of its units: few are idle.
fn threads(shares: u32) -> u32 {
    shares.next_multiple_of(8)
}

/// Threads of a product's workgroup that lie along the columns, each taking 8: few are idle.
fn lanes(columns: u32) -> u32 {
    columns.div_ceil(8).next_power_of_two().min(16)
}

/// The step that direction `d` visits at walk step `s`.
fn visited(d: usize, s: usize, steps: usize) -> usize {
    if d == 0 { s } else { steps - 1 - s }
}

/// sums += factor · values
fn add_scaled<T: Real>(sums: &mut [T], factor: T, values: &[T]) {
    for (sum, &value) in sums.iter_mut().zip(values) {
        *sum += factor * value;
    }
}
