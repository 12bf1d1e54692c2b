//! Using a trained model: from audio to the probabilities of moods.
//!
//! [`Tagger`] is the whole of it for one recording, from samples or from a file; [`predict_files`]
//! does a music library, decoding on all cores while the device computes. [`evaluate`] judges a
//! model on a manifest. [`playlist`] and [`tags`] write down for players what was found.

mod choice;
pub mod embeddings;
pub mod evaluate;
mod files;
mod index;
pub mod library;
pub mod playlist;
mod prediction;
mod shared;
mod state;
mod tagger;
pub mod tags;

pub use choice::Choice;
pub use files::{Amount, Told, predict_files};
pub use prediction::{Flawed, Heard, Moods, Prediction, Span};
pub use shared::{assist, dismiss};
pub use tagger::{Tagger, together};
