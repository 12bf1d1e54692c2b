//! What layers make of clips, computed before those after them are trained on it.
//!
//! It comes in two steps: from the spectrogram to what is summarised over time, which takes nearly all
//! of the time and is the same whichever of the later layers are trained, and from there on.

use super::checkpoint::{Checkpoint, Normalization};
use super::graph::Graph;
use super::network::Network;
use super::parameters::shapes;
use super::preset::{Preset, Trainable};
use super::session::{Inputs, Session};
use crate::exec::Device;
use crate::{Error, Result};

/// Clips that are embedded at a time where there are enough; the rest goes in smaller batches. A
/// device that cannot do the largest does without it.
const BATCHES: [usize; 3] = [16, 4, 1];

/// What some layers make of a clip, as far as a cache has to know.
#[derive(Clone, Debug)]
pub struct Made {
    /// The hash of all that it depends on besides the clip's features.
    pub id: String,
    /// Numbers of a clip.
    pub size: usize,
}

/// Layers on a device.
struct Stage {
    session: Session,
    sizes: &'static [usize],
    made: Made,
}

/// Layers that training leaves as they are, on a device.
pub struct Embedder {
    summary: Stage,
    /// From the summary on, where training leaves more as it is.
    rest: Option<Stage>,
}

impl Embedder {
    /// The layers of a preset's model that `train.trainable` leaves as they are, with the weights of
    /// `checkpoint`; none where all are trained.
    ///
    /// # Errors
    /// A tensor is missing, or the device cannot hold one clip.
    pub fn frozen(
        device: &Device,
        preset: &Preset,
        normalization: Normalization,
        checkpoint: &Checkpoint,
    ) -> Result<Option<Self>> {
        let trainable = preset.train.trainable;
        if trainable == Trainable::All {
            return Ok(None);
        }
        let text = |value: serde_json::Result<String>| {
            value.map_err(|error| Error::failure(error.to_string()))
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(text(serde_json::to_string(&preset.model.front))?.as_bytes());
        hasher.update(text(serde_json::to_string(&preset.model.middle))?.as_bytes());
        hasher.update(text(serde_json::to_string(&preset.model.branch))?.as_bytes());
        hasher.update(text(serde_json::to_string(&preset.model.rnn))?.as_bytes());
        hasher.update(text(serde_json::to_string(&normalization))?.as_bytes());
        let mut stage = |graph: Graph| {
            let network = Network::of(graph, preset, normalization);
            Stage::new(device, network, checkpoint, &mut hasher)
        };
        let graph = Graph::of(preset)?;
        let summary = graph.summary();
        let made_of_summary = stage(graph.before(summary))?;
        let graph = Graph::of(preset)?;
        let end = graph.cut(trainable).unwrap_or(summary);
        let rest = match end > summary {
            true => Some(stage(graph.before(end).after(summary))?),
            false => None,
        };
        Ok(Some(Self { summary: made_of_summary, rest }))
    }

    /// What the first step makes.
    pub fn summary(&self) -> Made {
        self.summary.made.clone()
    }

    /// What both steps make.
    pub fn embedding(&self) -> Made {
        self.rest.as_ref().unwrap_or(&self.summary).made.clone()
    }

    /// The first step, of each clip's log-mel spectrogram.
    ///
    /// # Errors
    /// The device fails.
    pub fn summarise(&mut self, spectrograms: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        self.summary.run(spectrograms)
    }

    /// The second step, of what the first has made.
    ///
    /// # Errors
    /// The device fails.
    pub fn embed(&mut self, summaries: Vec<Vec<f32>>) -> Result<Vec<Vec<f32>>> {
        match &mut self.rest {
            None => Ok(summaries),
            Some(rest) => rest.run(&summaries.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        }
    }
}

impl Stage {
    /// `hasher` knows of all that comes before.
    fn new(
        device: &Device,
        network: Network,
        checkpoint: &Checkpoint,
        hasher: &mut blake3::Hasher,
    ) -> Result<Self> {
        let graph = network.graph();
        let tensors = [shapes(graph.parameters()), shapes(graph.buffers())].concat();
        for (name, values) in checkpoint.values(&tensors)? {
            hasher.update(name.as_bytes());
            hasher.update(bytemuck::cast_slice(&values));
        }
        let id = hasher.finalize().to_hex()[..32].to_owned();
        let made = Made { id, size: network.output_size() };
        let mut sizes = &BATCHES[..];
        let session = loop {
            match Session::embedding(device, network.clone(), checkpoint, sizes) {
                Err(error) if error.kind.asks_for_less() && sizes.len() > 1 => sizes = &sizes[1..],
                session => break session?,
            }
        };
        Ok(Self { session, sizes, made })
    }

    fn run(&mut self, clips: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(clips.len());
        let mut rest = clips;
        while let Some(&size) = self.sizes.iter().find(|&&size| size <= rest.len()) {
            let (batch, others) = rest.split_at(size);
            let main = batch.concat();
            let inputs = Inputs { clips: size, main: &main, handcrafted: &[] };
            let values = self.session.predict(inputs)?()?;
            all.extend(values.chunks(self.made.size).map(<[f32]>::to_vec));
            rest = others;
        }
        Ok(all)
    }
}
