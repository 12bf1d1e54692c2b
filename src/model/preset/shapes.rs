//! The sizes that follow from a preset: samples, frames, and what each block sees.
//!
//! They mean something for a preset that [`Preset::validate`] accepts; for any other they are
//! numbers too, never a panic.

use super::{Audio, Branch, Features, Preset, Summary};

/// One block of a branch: its convolution keeps bands and steps, its pool divides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockShape {
    /// Channels that the convolution reads.
    pub in_channels: usize,
    /// Channels that it writes.
    pub out_channels: usize,
    /// Size along frequency before the pool.
    pub bands: usize,
    /// Size along time before the pool.
    pub steps: usize,
    /// Size along frequency after the pool; `bands` in the last block, which has none.
    pub pooled_bands: usize,
    /// Size along time after the pool; `steps` in the last block.
    pub pooled_steps: usize,
}

/// What a branch's blocks hand to its first LSTM, for one clip: `[steps, features]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceShape {
    /// Length along time.
    pub steps: usize,
    /// Channels × bands, channel-major: `channel · bands + band`.
    pub features: usize,
}

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

    /// Each block of `branch`, from the log-mel frames on.
    pub fn block_shapes(&self, branch: &Branch) -> Vec<BlockShape> {
        let (mut in_channels, mut bands, mut steps) = (1, self.features.mels, self.frames());
        let last = branch.channels.len().saturating_sub(1);
        let shape_of = |(block, &out_channels): (usize, &usize)| {
            let pool = if block < last { branch.pool } else { [1, 1] };
            let shape = BlockShape {
                in_channels,
                out_channels,
                bands,
                steps,
                pooled_bands: bands / pool[0].max(1),
                pooled_steps: steps / pool[1].max(1),
            };
            (in_channels, bands, steps) = (out_channels, shape.pooled_bands, shape.pooled_steps);
            shape
        };
        branch.channels.iter().enumerate().map(shape_of).collect()
    }

    /// Elements that a clip may take of the network's largest tensor.
    pub(super) fn largest_tensor(&self) -> usize {
        let activations = |branch| {
            let blocks = self.block_shapes(branch).into_iter();
            let planes = blocks
                .map(|block| block.out_channels.next_multiple_of(4) * block.bands * block.steps);
            let sequence = self.sequence(branch);
            planes.max().unwrap_or(0).max(sequence.steps * sequence.features)
        };
        // Four gates of each unit in both directions, at each step.
        let gates = |steps: usize, layers: &[usize]| {
            layers.iter().map(|units| 8 * units * steps).max().unwrap_or(0)
        };
        let branches = self.model.branch.iter().map(|branch| {
            activations(branch).max(gates(self.sequence(branch).steps, &branch.lstm))
        });
        let rnn = self.model.rnn.as_ref().map_or(0, |rnn| gates(self.frames(), &rnn.lstm));
        branches.chain([rnn, self.log_mel_size()]).max().unwrap_or(0)
    }

    /// The sequence that the blocks of `branch` end in.
    pub fn sequence(&self, branch: &Branch) -> SequenceShape {
        match self.block_shapes(branch).last() {
            Some(last) => SequenceShape {
                steps: last.pooled_steps,
                features: last.out_channels * last.pooled_bands,
            },
            None => SequenceShape { steps: self.frames(), features: self.features.mels },
        }
    }

    /// How many numbers `branch` gives the head: both directions of its last LSTM, or mean and
    /// maximum of its sequence.
    pub fn branch_features(&self, branch: &Branch) -> usize {
        match (branch.summary, branch.lstm.last()) {
            (Some(Summary::MeanMax), _) => 2 * self.sequence(branch).features,
            (None, Some(units)) => 2 * units,
            (None, None) => 0,
        }
    }

    /// How many numbers the RNN gives the head: both directions of its last LSTM.
    pub fn rnn_features(&self) -> usize {
        let last = self.model.rnn.as_ref().and_then(|rnn| rnn.lstm.last());
        last.map_or(0, |units| 2 * units)
    }

    /// Inputs of the head: the branches in order, then the RNN, then the hand-crafted embedding.
    pub fn head_features(&self) -> usize {
        let branches: usize =
            self.model.branch.iter().map(|branch| self.branch_features(branch)).sum();
        let handcrafted = self.model.handcrafted.as_ref().and_then(|h| h.hidden.last());
        branches + self.rnn_features() + handcrafted.copied().unwrap_or(0)
    }
}
