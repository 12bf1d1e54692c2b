//! LSTMs on the log-mel frames themselves, in place of the branches; forward and backward.
//!
//! The gates of 1292 steps are the largest tensors of all. Clips don't meet in a recurrence, so a
//! batch whose gates would not fit in one binding is worked on in parts, and the parts' gradients
//! are added up.

use crate::kernels::features;
use crate::model::lstm::{Sequence, Stack};
use crate::model::network::Builder;
use crate::plan::TensorId;

/// A planned forward pass.
pub(super) struct Rnn {
    parts: Vec<Stack>,
}

impl Rnn {
    /// Appends the forward pass from log-mel spectrograms in dB into columns of the summary.
    pub fn forward(
        b: &mut Builder<'_>,
        units: &[usize],
        log_mel: TensorId,
        summary: TensorId,
        columns: [u32; 2],
    ) -> Self {
        let preset = b.network.preset();
        let normalization = b.network.normalization();
        let (mels, frames) = (preset.features.mels as u32, preset.frames() as u32);
        let widest = units.iter().copied().max().unwrap_or(1) as u32;
        let of_a_clip = frames.saturating_mul((8 * widest).max(mels));
        let parts = b.batch.div_ceil((b.limits.part / of_a_clip).max(1));
        let most = b.batch.div_ceil(parts);
        let parts = (0..b.batch).step_by(most as usize).map(|first| {
            let clips = most.min(b.batch - first);
            let x = b.plan.scratch("rnn.frames", (clips * frames * mels) as usize);
            b.step(
                features::frames::Params {
                    batch: b.batch,
                    first,
                    clips,
                    mels,
                    frames,
                    mean: normalization.mean as f32,
                    inverse_deviation: normalization.std.recip() as f32,
                },
                features::frames::Tensors { input: log_mel, output: x },
            );
            let sequence =
                Sequence { owner: "rnn", x, clips: [first, clips], steps: frames, features: mels };
            Stack::forward(b, sequence, units, summary, columns)
        });
        Self { parts: parts.collect() }
    }

    /// Appends the backward pass from the gradient to the summary.
    pub fn backward(self, b: &mut Builder<'_>, d_summary: TensorId) {
        for (index, part) in self.parts.iter().enumerate() {
            part.backward(b, d_summary, index > 0);
        }
    }
}
