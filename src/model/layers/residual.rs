//! What a block makes, added to what it read.

use super::{Layer, Map, Pullback, Shape};
use crate::kernels::layers::map;
use crate::model::onnx::Export;
use crate::model::planning::{Builder, Value};

/// The sum of two maps.
#[derive(Debug)]
pub struct Residual {
    name: String,
    shape: Shape,
}

impl Residual {
    /// Of two maps of this shape.
    pub fn new(name: String, shape: Shape) -> Self {
        Self { name, shape }
    }
}

impl Layer for Residual {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        self.shape
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let [channels, bands, steps] = self.shape.planes().map(|n| n as u32);
        let (clips, quads, plane) = (b.batch, channels.div_ceil(4), bands * steps);
        let [one, other] = [0, 1].map(|place| inputs[place].map());
        let output = b.scratch(&self.name, "values", 4 * clips * quads * plane);
        let affine = b.scratch(&self.name, "no affine", 8 * quads);
        b.step(
            map::add::Params { clips, quads, plane },
            map::add::Tensors {
                a: one.values,
                a_affine: one.affine,
                b: other.values,
                b_affine: other.affine,
                output,
                affine,
            },
        );
        let pullback: Pullback<'a> = Box::new(|_, d| vec![d.clone(), d.clone()]);
        (Value::Map(Map::new(output, affine)), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        onnx.graph.node(&self.name, "Add", &[&inputs[0], &inputs[1]], vec![])
    }

    fn operations(&self) -> Vec<String> {
        vec!["added to its input".to_owned()]
    }

    fn continues(&self) -> bool {
        true
    }
}
