//! What buffers hold at first, in one file.

use half::f16;
use serde::Serialize;

use crate::model::Network;
use crate::model::checkpoint::Checkpoint;
use crate::model::parameters::shapes;
use crate::plan::script::element_name;
use crate::plan::{Allocation, Extent, Home, Memory, Storage};
use crate::{Error, Result};

/// How trained tensors are written; tables and running statistics are float32 in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Four bytes a number.
    Float32,
    /// Two bytes a number; a tensor with a number beyond its range stays float32.
    Float16,
}

/// A tensor in the file, and where it goes.
#[derive(Debug, PartialEq, Serialize)]
pub struct Written {
    /// As in the checkpoint.
    pub name: String,
    /// Of the tensor.
    pub shape: Vec<usize>,
    #[serde(rename = "type")]
    kind: &'static str,
    /// The bytes of the buffer.
    #[serde(flatten)]
    pub range: Extent,
    /// The first of its bytes in the file.
    at: usize,
}

/// The file in the making.
#[derive(Default)]
pub struct Weights {
    pub bytes: Vec<u8>,
}

impl Weights {
    /// The tensors of a checkpoint, for plans that use them.
    ///
    /// # Errors
    /// The checkpoint lacks one.
    pub fn put_model(
        &mut self,
        allocation: &Allocation,
        network: &Network,
        checkpoint: &Checkpoint,
        precision: Precision,
    ) -> Result<Vec<Written>> {
        let graph = network.graph();
        let stored = [
            (Storage::Parameters, shapes(graph.parameters()), precision),
            (Storage::Buffers, shapes(graph.buffers()), Precision::Float32),
        ];
        let mut written = Vec::new();
        for (storage, shapes, precision) in stored {
            // A model without batch normalisation has no running statistics.
            let Some(buffer) = allocation.place(Memory::Storage(storage)) else { continue };
            let layout = network.layout(storage);
            for ((name, values), (_, shape)) in checkpoint.values(&shapes)?.into_iter().zip(shapes)
            {
                let (offset, length) = layout
                    .get(&name)
                    .ok_or_else(|| Error::failure(format!("{name} has no place in the model")))?;
                let range = Extent { buffer, offset: 4 * offset as u64, size: 4 * length as u64 };
                written.push(self.put(name, shape, range, &values, precision));
            }
        }
        Ok(written)
    }

    /// The tables that the plans have as constants.
    pub fn put_constants(&mut self, allocation: &Allocation) -> Vec<Written> {
        let mut written: Vec<Written> = Vec::new();
        for (index, plan) in allocation.plans().iter().enumerate() {
            for (id, tensor) in plan.named() {
                let Home::Constant(start) = tensor.home else { continue };
                let range = allocation.range(index, id);
                // Plans of other batches have the same tables.
                if written.iter().any(|other| other.range == range) {
                    continue;
                }
                let words = &plan.constants()[start..start + tensor.length];
                written.push(self.add(
                    tensor.name.clone(),
                    vec![tensor.length],
                    element_name(tensor.element),
                    range,
                    bytemuck::cast_slice(words),
                ));
            }
        }
        written
    }

    fn put(
        &mut self,
        name: String,
        shape: Vec<usize>,
        range: Extent,
        values: &[f32],
        precision: Precision,
    ) -> Written {
        let halves: Vec<f16> = values.iter().map(|&value| f16::from_f32(value)).collect();
        if precision == Precision::Float16 && halves.iter().all(|half| half.is_finite()) {
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            return self.add(name, shape, "float16", range, &bytes);
        }
        self.add(name, shape, "float32", range, bytemuck::cast_slice(values))
    }

    /// Every tensor begins at a whole word.
    fn add(
        &mut self,
        name: String,
        shape: Vec<usize>,
        kind: &'static str,
        range: Extent,
        bytes: &[u8],
    ) -> Written {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        Written { name, shape, kind, range, at }
    }
}
