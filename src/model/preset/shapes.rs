//! The sizes that follow from a preset's audio and features.
//!
//! They mean something for a preset that [`Preset::validate`] accepts; for any other they are
//! numbers too, never a panic.

use super::{Audio, Features, Preset};

impl Audio {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        (self.clip_seconds * f64::from(self.sample_rate)).round() as usize
    }
}

impl Features {
    /// STFT frames of one clip, centred as librosa does: 1 + samples / hop.
    pub fn frames(&self, audio: &Audio) -> usize {
        1 + audio.clip_samples() / self.hop.max(1)
    }
}

impl Preset {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        self.audio.clip_samples()
    }

    /// STFT frames of one clip.
    pub fn frames(&self) -> usize {
        self.features.frames(&self.audio)
    }

    /// Numbers of one clip's log-mel spectrogram.
    pub fn log_mel_size(&self) -> usize {
        self.features.mels * self.frames()
    }
}
