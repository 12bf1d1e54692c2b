//! Bidirectional LSTM, gates in PyTorch's order i, f, g, o, one trained bias a gate.
//!
//! Direction 0 walks the steps upwards, direction 1 downwards; every kernel does both. Weights are
//! views over both directions in PyTorch's layout: weight_ih [2, 4, units, features],
//! weight_hh [2, 4, units, units], bias [2, 4, units]. Between the kernels a unit's four gates lie
//! together: gates and d_gates are [2, batch, steps, units, 4].
//!
//! Forward, with weights packed as [`packing()`] says: `input_product`, `recurrence_forward`, and
//! `last_state` where only the walks' ends are wanted. Backward: `last_state_gradient`, `recurrence_backward`, then in
//! any order `weight_gradient`, `recurrent_gradient`, `input_gradient`, and `weight_gradient_reduce` where the
//! first two leave shares.

pub mod input_gradient;
pub mod input_product;
pub mod last_state;
pub mod last_state_gradient;
mod packing;
pub mod recurrence_backward;
pub mod recurrence_forward;
pub mod recurrent_gradient;
pub mod weight_gradient;
pub mod weight_gradient_reduce;

use crate::kernels::verify::Case;
use crate::kernels::{Grid, Kernel, Real, cover, parameters};

pub use packing::packing;

/// Units of one direction that the recurrences can hold: 16 KiB of workgroup memory forward.
pub const MAX_UNITS: u32 = 256;

/// Threads of a recurrence's workgroup for `shares` of its units: few are idle.
fn threads(shares: u32) -> u32 {
    shares.next_multiple_of(8)
}

/// The grid of the recurrences' schedules `@wide`: 256 threads walk over all units of two clips, and so many
/// share a unit's products.
fn wide(batch: u32, units: u32) -> Grid {
    let split = (256 / units.next_power_of_two()).clamp(1, 8);
    Grid { constants: vec![("SPLIT", f64::from(split))], ..Grid::of([cover(batch, 2), 2, 1]) }
}

/// The grid of the recurrences' schedules `@eights`: a workgroup walks over all units of eight clips, each of
/// whose `shares` has a thread.
fn walk_of_eights(batch: u32, shares: u32) -> Grid {
    Grid {
        constants: vec![("THREADS", f64::from(threads(shares)))],
        ..Grid::of([cover(batch, 8), 2, 1])
    }
}

/// Threads of a product's workgroup that lie along the columns, each taking 8: few are idle.
fn lanes(columns: u32) -> u32 {
    columns.div_ceil(8).next_power_of_two().min(16)
}

/// The grid of the schedules `@eights`: subgroups of eight threads compute tiles of eight quads and 32
/// columns, eight of them a workgroup, of `slices` products.
fn product_of_eights([quads, columns]: [u32; 2], slices: u32) -> Grid {
    Grid::of([cover(cover(quads, 8) * cover(columns, 32), 8), 1, slices])
}

/// The grid of an outer product of the gates of so many units with so many columns, summed over spans of
/// `turns` rows; `most` is how many workgroups may come of splitting the rows into shares.
fn outer_product(columns: u32, units: u32, [spans, turns]: [u32; 2], most: u32) -> Grid {
    /// Fewer rows a share are not worth adding up its sums.
    const ROWS: u32 = 64;
    let lanes = lanes(columns);
    let [x, y] = [cover(columns, 8 * lanes), cover(units, 128 / lanes)];
    let worth = turns.min(spans.saturating_mul(turns) / ROWS);
    let shares = (most / (2 * x * y)).min(worth).max(1);
    Grid { constants: vec![("LANES", f64::from(lanes))], shares, ..Grid::of([x, y, 2 * shares]) }
}

/// Workgroups of an [`outer_product`] that keep a large GPU busy.
const BUSY: u32 = 512;

parameters! {
    /// The ends of some clips' walks, and the part of a matrix [rows, width] that they are for.
    pub struct LastStates {
        /// Clips.
        pub batch: u32,
        /// Steps of a sequence.
        pub steps: u32,
        /// Units of a direction.
        pub units: u32,
        /// Rows of the matrix: all clips, of which these are a part.
        pub rows: u32,
        /// The row of the first clip.
        pub first: u32,
        /// Columns of the matrix.
        pub width: u32,
        /// The first of the 2 · units columns of the part.
        pub offset: u32,
    }
}

impl LastStates {
    /// Elements of the states, [batch, steps, 2, units], and of the matrix.
    fn lengths(&self) -> [usize; 2] {
        let hidden = 2 * self.batch as usize * self.steps as usize * self.units as usize;
        [hidden, self.rows as usize * self.width as usize]
    }

    /// What both directions are verified at.
    fn cases<K: Kernel>(params: impl Fn(Self) -> K) -> Vec<Case<K>> {
        let case =
            |name, [batch, steps, units]: [u32; 3], [rows, first, width, offset]: [u32; 4]| {
                Case::new(name, params(Self { batch, steps, units, rows, first, width, offset }))
            };
        vec![
            case("minimal", [1, 1, 1], [1, 0, 2, 0]),
            case("odd", [5, 7, 13], [9, 3, 41, 9]),
            case("typical", [32, 20, 32], [32, 0, 128, 64]),
        ]
    }
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
