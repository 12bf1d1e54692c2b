//! Music-mood tagging, trained and run in hand-written WGSL compute shaders.
//!
//! ARCHITECTURE.md follows the data through these modules.

#![deny(missing_docs)]

pub mod audio;
pub mod cli;
pub mod compare;
pub mod dataset;
pub mod error;
pub mod exec;
pub mod files;
pub mod kernels;
pub mod learning_curve;
pub mod metrics;
pub mod model;
pub mod output;
pub mod panics;
pub mod plan;
pub mod predict;
pub mod ranks;
pub mod report;
pub mod run;
pub mod site;
pub mod spelling;
pub mod train;

pub use error::{Error, Result};
pub use exec::Device;
pub use predict::Tagger;
