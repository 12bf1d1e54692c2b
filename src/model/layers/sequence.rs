//! A feature map as a sequence: at each step the channels × bands, channel-major.

use super::{Layer, Pullback, Shape};
use crate::kernels::layers::sequence;
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Part, Value};

/// The last map of a branch, normalised and turned over.
#[derive(Debug)]
pub struct Sequence {
    name: String,
    channels: u32,
    bands: u32,
    steps: u32,
}

impl Sequence {
    /// The sequence of a map of this shape.
    pub fn new(name: String, input: Shape) -> Self {
        let [channels, bands, steps] = input.planes().map(|n| n as u32);
        Self { name, channels, bands, steps }
    }
}

impl Layer for Sequence {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        let features = (self.channels * self.bands) as usize;
        Shape::Sequence { steps: self.steps as usize, features }
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let (&Self { channels, bands, steps, .. }, batch) = (self, b.batch);
        let map = inputs[0].map();
        let length = (batch * steps * channels * bands) as usize;
        let output = b.plan.scratch(&*self.name, length);
        b.step(
            sequence::forward::Params { batch, channels, bands, steps },
            sequence::forward::Tensors { input: map.values, affine: map.affine, output },
        );
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let quads = channels.div_ceil(4);
            let d_input = b.scratch(&self.name, "d_input", 4 * batch * quads * bands * steps);
            b.step(
                sequence::backward::Params { batch, channels, bands, steps },
                sequence::backward::Tensors { d_output: d.whole(), d_input },
            );
            vec![d_input.into()]
        });
        (Value::Sequence(vec![Part { clips: [0, batch], tensor: output }]), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        // [batch, channels, bands, steps] → [steps, batch, channels · bands]
        let name = &self.name;
        let order = vec![("perm", Attribute::Ints(vec![3, 0, 1, 2]))];
        let turned = onnx.graph.node(&format!("{name}.turned"), "Transpose", &[&inputs[0]], order);
        let joined = onnx.graph.integers(&format!("{name}.shape"), &[3], &[0, 0, -1]);
        onnx.graph.node(name, "Reshape", &[&turned, &joined], vec![])
    }
}
