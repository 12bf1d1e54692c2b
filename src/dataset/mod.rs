//! What to train on: from a manifest to labelled tracks, split and with their features cached.
//!
//! [`manifest`] reads which tracks there are, [`labels`] decides which moods are learnt and marks
//! every track with them, [`artists`] says whose they are, [`split`] holds some tracks back for
//! validation, [`cache`] keeps what was
//! computed from their audio. [`features`] computes it, [`prepare`] does so for a whole manifest, and
//! [`batches`] reads it back while training. [`synthetic`] makes a corpus where there is none.
//!
//! [`stats`] and [`check`] say what manifests hold before anything is trained, and [`export`] writes
//! features for other programs.

pub mod artists;
pub mod batches;
pub mod cache;
pub mod check;
pub mod copies;
pub mod export;
pub mod features;
pub mod labels;
pub mod manifest;
pub mod prepare;
pub mod split;
pub mod stats;
pub mod synthetic;
