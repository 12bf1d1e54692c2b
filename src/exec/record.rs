//! What `moodshader verify` found on an adapter, kept for `moodshader devices`.
//!
//! A record holds for one adapter with one driver and for exactly the shaders of this program: with
//! another of either, there is none.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::AdapterSummary;
use crate::files::write_atomically;
use crate::kernels::REGISTRY;
use crate::{Error, Result};

/// The verdict on every kernel on one adapter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// As [`AdapterSummary`] shows it, for people who look into the file.
    pub adapter: String,
    /// Cases that ran.
    pub cases: usize,
    /// Kernels with a case that was not within its tolerance.
    pub failed: Vec<String>,
}

impl Record {
    /// The record of an adapter in a cache folder, if every kernel of this program was verified there.
    /// A file that is damaged counts as none.
    pub fn of(adapter: &AdapterSummary, cache: &Path) -> Option<Self> {
        let text = fs::read_to_string(place(adapter, cache)).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Keeps the record in a cache folder, such as
    /// [`default_root`](crate::dataset::cache::default_root).
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep(&self, adapter: &AdapterSummary, cache: &Path) -> Result<()> {
        let path = place(adapter, cache);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| Error::io("create", folder, &error))?;
        }
        let text =
            serde_json::to_string(self).map_err(|error| Error::failure(error.to_string()))?;
        write_atomically(&path, text.as_bytes())
    }
}

/// Named by the adapter, its driver, and all shaders.
fn place(adapter: &AdapterSummary, cache: &Path) -> PathBuf {
    let mut hasher = blake3::Hasher::new();
    hasher.update(adapter.to_string().as_bytes());
    for shader in REGISTRY.iter().flat_map(|kernel| (kernel.shaders)()) {
        hasher.update(shader.name.as_bytes()).update(shader.source.as_bytes());
    }
    let name = format!("{}.json", hasher.finalize().to_hex());
    cache.join("verified").join(name)
}
