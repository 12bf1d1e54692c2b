//! Where each named tensor lies in a flat storage.

use std::collections::HashMap;

use crate::kernels::ALIGNMENT;
use crate::{Error, Result};

/// Names, offsets and lengths (in elements) of tensors that share a flat array.
///
/// The two directions of an LSTM tensor (`NAME`, `NAME_reverse`) lie without a gap between them,
/// so that a kernel can bind both as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<(String, usize, usize)>,
    index: HashMap<String, usize>,
    length: usize,
}

impl Layout {
    /// Lays tensors out in the given order.
    pub fn new(tensors: impl IntoIterator<Item = (String, usize)>) -> Self {
        let mut layout = Self::default();
        let mut end = 0_usize;
        for (name, length) in tensors {
            let joined = layout
                .entries
                .last()
                .is_some_and(|(last, _, _)| name.strip_suffix("_reverse") == Some(last));
            let offset = if joined { end } else { end.next_multiple_of(ALIGNMENT) };
            end = offset + length;
            layout.index.insert(name.clone(), layout.entries.len());
            layout.entries.push((name, offset, length));
        }
        layout.length = end.next_multiple_of(ALIGNMENT);
        layout
    }

    /// (name, offset, length) in order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, usize, usize)> {
        self.entries.iter().map(|(name, offset, length)| (name.as_str(), *offset, *length))
    }

    /// (offset, length) of a tensor.
    pub fn get(&self, name: &str) -> Option<(usize, usize)> {
        self.index.get(name).map(|&at| (self.entries[at].1, self.entries[at].2))
    }

    /// Named tensors in their places, zeros elsewhere.
    ///
    /// # Errors
    /// A name that the layout has not, or another number of values.
    pub fn flatten(&self, tensors: &[(String, Vec<f32>)]) -> Result<Vec<f32>> {
        let mut flat = vec![0.0; self.length];
        for (name, values) in tensors {
            match self.get(name) {
                Some((offset, length)) if length == values.len() => {
                    flat[offset..offset + length].copy_from_slice(values);
                }
                Some(_) => {
                    return Err(Error::failure(format!("{name} has {} values", values.len())));
                }
                None => return Err(Error::failure(format!("the model has no tensor {name}"))),
            }
        }
        Ok(flat)
    }

    /// Elements in all, gaps included.
    pub fn length(&self) -> usize {
        self.length
    }
}

#[cfg(test)]
mod tests {
    use super::Layout;

    #[test]
    fn directions_are_adjacent_and_the_rest_aligned() {
        let layout = Layout::new(
            [("a", 3), ("w", 10), ("w_reverse", 10), ("b", 1)].map(|(n, l)| (n.to_owned(), l)),
        );
        assert_eq!(layout.get("w"), Some((64, 10)));
        assert_eq!(layout.get("w_reverse"), Some((74, 10)));
        assert_eq!(layout.get("b"), Some((128, 1)));
        assert_eq!(layout.length(), 192);
    }
}
