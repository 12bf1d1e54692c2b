//! What a run leaves on disk, for whoever goes on with it, shows it or compares it.

mod config;
mod difference;
mod epoch;
mod folder;
mod learning;
mod predictions;
mod tracks;

pub use config::{Config, Data};
pub use epoch::{EpochMetrics, best, is_over, last_as_good};
pub use folder::{RunFolder, seed_folder};
pub use learning::Learning;
pub use predictions::{read_predictions, write_predictions};

pub(crate) use difference::differences;
pub(crate) use folder::damaged;
pub(crate) use tracks::{Had, had, kept_split, track_changes, write_tracks};

/// How fast a process trained in an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Counted from 1.
    pub epoch: u64,
    /// Clips trained on by this process.
    pub clips: usize,
    /// Seconds that this took.
    pub seconds: f64,
    /// Those of the seconds in which no batch was ready: the adapter had at most what was under way.
    pub waited: f64,
}
