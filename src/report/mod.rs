//! What people see: of a run its progress, TensorBoard events and `report.html`, and a page of their
//! music.

mod events;
pub mod library;
pub mod page;
mod progress;
mod tensorboard;
mod timeline;

pub use events::Events;
pub use progress::{Bar, Progress, audio_files, span, time_left};
pub use timeline::{clock, sparkline};
