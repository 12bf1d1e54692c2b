//! Packs the weights of all layers in one step, before everything else of a plan.

use std::collections::HashMap;

use crate::kernels::ALIGNMENT;
use crate::kernels::layers::pack;
use crate::plan::{Layout, Plan, Storage, TensorId};

/// Weights of a layer in the order in which its kernels read them.
pub struct Packed {
    /// The layer.
    pub owner: String,
    /// What they are called, for [`Builder::packed`](super::planning::Builder::packed).
    pub what: &'static str,
    /// The layer's tensor whose elements they are. `NAME` of an LSTM stands for both directions.
    pub parameter: &'static str,
    /// For each packed element its place in the parameter, or [`pack::ABSENT`].
    pub places: Vec<u32>,
}

/// What is to be packed, and where it will lie.
#[derive(Default)]
pub(super) struct Packing {
    /// For each packed element its index in the parameters.
    table: Vec<u32>,
    /// Name, first element and length.
    parts: Vec<(String, usize, usize)>,
}

impl Packing {
    /// Adds weights of a layer.
    ///
    /// # Panics
    /// When the model has no such parameter: a planning error.
    pub fn add(&mut self, layout: &Layout, packed: Packed) {
        let Packed { owner, what, parameter, places } = packed;
        let name = format!("{owner}.{parameter}");
        let (offset, _) =
            layout.get(&name).unwrap_or_else(|| panic!("the model has no tensor {name}"));
        let start = self.table.len();
        // The sum passes over `ABSENT`, which stays past every parameter.
        self.table.extend(places.iter().map(|&place| place.saturating_add(offset as u32)));
        self.parts.push((format!("{owner}.{what}"), start, places.len()));
        self.table.resize(self.table.len().next_multiple_of(ALIGNMENT), pack::ABSENT);
    }

    /// Appends the step, where there is something to pack; returns the packed weights of `from` by name.
    pub fn step(
        self,
        plan: &mut Plan,
        from: Storage,
        parameters: usize,
    ) -> HashMap<String, TensorId> {
        if self.table.is_empty() {
            return HashMap::new();
        }
        let source = plan.stored("parameters", from, 0, parameters);
        let table = plan.constant("packing", &self.table);
        let packed = plan.scratch("packed", self.table.len());
        plan.step(
            pack::Params::new(parameters, self.table.len()),
            pack::Tensors { parameters: source, table, packed },
        );
        let parts = self.parts.into_iter();
        parts.map(|(name, start, length)| (name, plan.part(packed, start, length))).collect()
    }
}
