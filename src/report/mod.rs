//! What people see of a run: progress while it goes, TensorBoard events, and `report.html`.

mod events;
pub mod page;
mod progress;
mod tensorboard;
mod timeline;

pub use events::Events;
pub use progress::{Bar, Progress, audio_files, span, time_left};
pub use timeline::{clock, sparkline};
