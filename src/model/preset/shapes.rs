//! The sizes that follow from a preset's audio and features.
//!
//! They mean something for a preset that [`Preset::validate`] accepts; for any other they are
//! numbers too, never a panic.

use super::Preset;
use crate::dataset::features::HANDCRAFTED;

impl Preset {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        (self.audio.clip_seconds * f64::from(self.audio.sample_rate)).round() as usize
    }

    /// STFT frames of one clip, centred as librosa does: 1 + samples / hop.
    pub fn frames(&self) -> usize {
        1 + self.clip_samples() / self.features.hop.max(1)
    }

    /// Numbers of one clip's features: the log-mel frames, then the hand-crafted features where the
    /// model reads them.
    pub fn feature_size(&self) -> usize {
        let handcrafted = if self.model.handcrafted.is_some() { HANDCRAFTED } else { 0 };
        self.features.mels * self.frames() + handcrafted
    }
}
