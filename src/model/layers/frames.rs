//! The frames of a log-mel spectrogram as a sequence, for LSTMs without convolutions before them.
//!
//! Their gates may not fit in one binding, so that a batch comes in parts of as many clips as any
//! tensor of the model allows.

use super::{Layer, Pullback, Shape};
use crate::kernels::features;
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Part, Value};

/// The input turned over: [steps, features] of [bands, steps], standardised.
#[derive(Debug)]
pub struct Frames {
    name: String,
    mels: u32,
    frames: u32,
}

impl Frames {
    /// The frames of an input of this shape.
    pub fn new(name: String, input: Shape) -> Self {
        let [_, mels, frames] = input.planes().map(|n| n as u32);
        Self { name, mels, frames }
    }
}

impl Layer for Frames {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Sequence { steps: self.frames as usize, features: self.mels as usize }
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let &Self { mels, frames, .. } = self;
        let (input, batch) = (inputs[0].plane(), b.batch);
        let spectrograms = b.spectrograms();
        let of_a_clip = u32::try_from(b.network.graph().largest()).unwrap_or(u32::MAX);
        let parts = batch.div_ceil((b.limits.part / of_a_clip).max(1));
        let most = batch.div_ceil(parts);
        let parts = (0..batch).step_by(most as usize).map(|first| {
            let clips = most.min(batch - first);
            let output = b.plan.scratch(&*self.name, (clips * frames * mels) as usize);
            b.step(
                features::frames::Params { batch, first, clips, mels, frames, spectrograms },
                features::frames::Tensors { input, output },
            );
            Part { clips: [first, clips], tensor: output }
        });
        (Value::Sequence(parts.collect()), Box::new(|_, _| Vec::new()))
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        // [batch, mels, frames] → [steps, batch, features]
        let order = vec![("perm", Attribute::Ints(vec![2, 0, 1]))];
        onnx.graph.node(&self.name, "Transpose", &[&inputs[0]], order)
    }
}
