//! Packs the weights of all layers in one step, before everything else of a plan.

use std::collections::HashMap;

use crate::kernels::ALIGNMENT;
use crate::kernels::layers::pack;
use crate::plan::{Layout, Plan, Storage, TensorId};

/// What is to be packed, and where it will lie.
#[derive(Default)]
pub(super) struct Packing {
    /// Of the packed elements, indices into the parameters.
    table: Vec<u32>,
    /// Name, first element and length.
    entries: Vec<(String, usize, usize)>,
}

/// The packed weights of a plan, by name.
pub(super) type Packed = HashMap<String, TensorId>;

impl Packing {
    /// Has `name` hold a parameter's elements in the order of `places`. `NAME` of an LSTM stands for
    /// both directions.
    ///
    /// # Panics
    /// When the model has no such parameter: a planning error.
    pub fn add(&mut self, layout: &Layout, name: String, parameter: &str, places: &[u32]) {
        let (offset, _) =
            layout.get(parameter).unwrap_or_else(|| panic!("the model has no tensor {parameter}"));
        let start = self.table.len();
        // The sum passes over `ABSENT`, which stays past every parameter.
        self.table.extend(places.iter().map(|&place| place.saturating_add(offset as u32)));
        self.entries.push((name, start, places.len()));
        self.table.resize(self.table.len().next_multiple_of(ALIGNMENT), pack::ABSENT);
    }

    /// Appends the step, where there is something to pack.
    pub fn step(self, plan: &mut Plan, parameters: usize) -> Packed {
        if self.table.is_empty() {
            return Packed::new();
        }
        let source = plan.stored("parameters", Storage::Parameters, 0, parameters);
        let table = plan.constant("packing", &self.table);
        let packed = plan.scratch("packed", self.table.len());
        plan.step(
            pack::Params::new(parameters, self.table.len()),
            pack::Tensors { parameters: source, table, packed },
        );
        let parts = self.entries.into_iter();
        parts.map(|(name, start, length)| (name, plan.part(packed, start, length))).collect()
    }
}
