//! Models that the program brings along.

use std::borrow::Cow;
use std::path::Path;

use super::checkpoint::Checkpoint;
use crate::{Error, Result};

/// The one that is taken where none is named.
pub const DEFAULT: &str = "musicnn-msd";

/// Name and file.
const MODELS: [(&str, &[u8]); 2] = [
    (DEFAULT, include_bytes!("../../assets/models/musicnn-msd.safetensors")),
    ("musicnn-mtt", include_bytes!("../../assets/models/musicnn-mtt.safetensors")),
];

/// The name of a built-in model that a path is. A file or folder of that name is `./NAME`: nothing that lies about
/// changes which model answers.
pub fn name_of(path: &Path) -> Option<&str> {
    path.to_str().filter(|name| names().any(|known| known == *name))
}

/// The bytes of a built-in model, or of the file at `path`.
///
/// # Errors
/// The file cannot be read.
pub fn bytes(path: &Path) -> Result<Cow<'static, [u8]>> {
    match name_of(path).and_then(find) {
        Some(bytes) => Ok(Cow::Borrowed(bytes)),
        None => {
            std::fs::read(path).map(Cow::Owned).map_err(|error| Error::io("read", path, &error))
        }
    }
}

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    MODELS.iter().map(|(name, _)| *name)
}

fn find(name: &str) -> Option<&'static [u8]> {
    MODELS.iter().find(|(known, _)| *known == name).map(|&(_, bytes)| bytes)
}

/// A built-in model.
///
/// # Errors
/// There is none of this name.
pub fn checkpoint(name: &str) -> Result<Checkpoint> {
    match find(name) {
        Some(bytes) => Checkpoint::from_bytes(bytes),
        None => Err(Error::input(format!(
            "there is no built-in model `{name}`; there are {}",
            names().collect::<Vec<_>>().join(", ")
        ))),
    }
}
