//! The safetensors file itself: 8 bytes of header length, a JSON header, then the tensors' bytes.
//!
//! Reading is the safetensors crate's. Writing is not: the crate keeps metadata in a hash map,
//! whose order, and so the file's bytes, change from run to run.

use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::{Checkpoint, Tensor};
use crate::error::{Error, Result};

/// The header is padded with blanks so that tensors start at a multiple of this many bytes.
const ALIGNMENT: usize = 8;

/// Every tensor and all metadata of a file's bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Checkpoint> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(damage)?;
    let file = SafeTensors::deserialize(bytes).map_err(damage)?;
    let mut checkpoint = Checkpoint::default();
    checkpoint.metadata.extend(header.metadata().clone().unwrap_or_default());
    for (name, view) in file.iter() {
        // PyTorch's batch norms count their batches; nothing here uses that.
        if name.ends_with(".num_batches_tracked") {
            continue;
        }
        if view.dtype() != Dtype::F32 {
            return Err(Error::input(format!(
                "tensor `{name}` is {:?}: save it as F32, the only type read here",
                view.dtype()
            )));
        }
        let (words, _) = view.data().as_chunks();
        let values = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let shape = view.shape().to_vec();
        checkpoint.tensors.insert(name.to_string(), Tensor { shape, values });
    }
    Ok(checkpoint)
}

fn damage(error: SafeTensorError) -> Error {
    use SafeTensorError::*;
    Error::input(match error {
        MetadataIncompleteBuffer => {
            "damaged: the file is shorter or longer than its header says".to_string()
        }
        HeaderTooSmall | InvalidHeaderLength => {
            "not a safetensors file, or cut off in its header".to_string()
        }
        _ => format!("not a safetensors file, or damaged: {error}"),
    })
}

/// The file's bytes: metadata and tensors in the order of their names.
pub(super) fn encode(checkpoint: &Checkpoint) -> Result<Vec<u8>> {
    let mut entries = Vec::with_capacity(checkpoint.tensors.len() + 1);
    let metadata = super::json_text(&checkpoint.metadata)?;
    entries.push(format!(r#""__metadata__":{metadata}"#));
    let mut end = 0;
    for (name, tensor) in &checkpoint.tensors {
        if tensor.values.len() != tensor.shape.iter().product::<usize>() {
            return Err(Error::failure(format!(
                "tensor `{name}` has {} values in shape {:?}",
                tensor.values.len(),
                tensor.shape
            )));
        }
        let start = end;
        end += size_of_val(&tensor.values[..]);
        entries.push(format!(
            r#"{}:{{"dtype":"F32","shape":{},"data_offsets":[{start},{end}]}}"#,
            super::json_text(name)?,
            super::json_text(&tensor.shape)?
        ));
    }
    let mut header = format!("{{{}}}", entries.join(","));
    let padding = header.len().next_multiple_of(ALIGNMENT) - header.len();
    header.extend(std::iter::repeat_n(' ', padding));

    let mut bytes = Vec::with_capacity(size_of::<u64>() + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    for tensor in checkpoint.tensors.values() {
        bytes.extend(tensor.values.iter().flat_map(|value| value.to_le_bytes()));
    }
    Ok(bytes)
}
