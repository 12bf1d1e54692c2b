//! packed\[i\] = parameters[table\[i\]], zero where the table has [`ABSENT`]: every layer's weights in
//! the order in which its kernels read them. The tables come from [`conv::packing`] and
//! [`lstm::packing`].
//!
//! [`conv::packing`]: super::conv::packing
//! [`lstm::packing`]: super::lstm::packing

use crate::kernels::verify::{Case, Draw};
use crate::kernels::{Cost, Grid, Kernel, Real, Schedule, kernel, rows};

/// Where a packed weight has no parameter: the padding of channels, taps and windows.
pub const ABSENT: u32 = u32::MAX;

kernel! {
    "layers/pack",
    params {
        /// Numbers to pack from.
        parameters: u32,
        /// Groups of four elements of the table.
        quads: u32,
    },
    tensors {
        /// \[parameters\]
        parameters: read f32,
        /// [quads, 4]: indices
        table: read u32,
        /// [quads, 4]
        packed: write f32,
    },
}

impl Params {
    /// Packs `elements` numbers, a multiple of four, from so many parameters.
    pub fn new(parameters: usize, elements: usize) -> Self {
        let quads = elements as u32 / 4;
        Self { parameters: parameters as u32, quads }
    }
}

impl Kernel for Params {
    const SCHEDULES: &'static [Schedule<Self>] =
        &[Schedule::general(|params| Grid::of(rows(params.quads, 64)))];

    fn lengths(&self) -> Tensors<usize> {
        let elements = 4 * self.quads as usize;
        Tensors { parameters: self.parameters as usize, table: elements, packed: elements }
    }

    fn cost(&self) -> Cost {
        let lengths = self.lengths();
        Cost {
            flops: 0.0,
            bytes: 4.0 * (lengths.parameters + lengths.table + lengths.packed) as f64,
        }
    }

    fn reference<T: Real>(&self, tensors: Slices<'_, T>) {
        let Slices { parameters, table, packed } = tensors;
        for (packed, &at) in packed.iter_mut().zip(table) {
            *packed = parameters.get(at as usize).copied().unwrap_or(T::zero());
        }
    }

    fn draw(&self) -> Tensors<Draw> {
        // A third of the places points past the last parameter.
        let table = Draw::Below(self.parameters + self.parameters.div_ceil(2));
        Tensors { table, ..Tensors::each(Draw::NORMAL) }
    }

    fn cases() -> Vec<Case<Self>> {
        let absent = Self::new(7, 4);
        vec![
            Case::new("minimal", Self::new(1, 4)),
            Case::new("odd", Self::new(37, 4 * 101)),
            Case::new("nothing there", absent)
                .drawn(Tensors { table: Draw::Words(vec![ABSENT; 4]), ..absent.draw() }),
            Case::new("typical, more than a row", Self::new(100_000, 4 * 70_001)),
        ]
    }
}
