//! What people see of a run.

mod progress;

pub use progress::{Bar, Progress, audio_files};
