//! The sizes that follow from a preset's audio and features.
//!
//! They mean something for a preset that [`Preset::validate`] accepts; for any other they are
//! numbers too, never a panic.

use super::{Audio, Features, Preset};
use crate::audio::Cut;

impl Audio {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        (self.clip_seconds * f64::from(self.sample_rate)).round() as usize
    }
}

impl Features {
    /// STFT frames of one clip, centred as librosa does: 1 + samples / hop; with `context` the last
    /// one is the first of the next clip.
    pub fn frames(&self, audio: &Audio) -> usize {
        usize::from(!self.context) + audio.clip_samples() / self.hop.max(1)
    }

    /// How clips are cut from a recording.
    pub fn cut(&self, audio: &Audio) -> Cut {
        let step = audio.clip_samples();
        if !self.context {
            return Cut::plain(step);
        }
        let last = (self.frames(audio).saturating_sub(1)) * self.hop;
        // The last frame may end in the zeros behind a recording.
        Cut { step, before: self.n_fft / 2, samples: last + self.n_fft, slack: self.hop }
    }
}

impl Preset {
    /// Samples of one clip.
    pub fn clip_samples(&self) -> usize {
        self.audio.clip_samples()
    }

    /// How clips are cut from a recording.
    pub fn cut(&self) -> Cut {
        self.features.cut(&self.audio)
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
