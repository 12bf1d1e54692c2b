//! Inverted dropout: training keeps each number with a probability, and divides it by that.

use super::{Layer, Pullback, Shape};
use crate::kernels::layers::dropout;
use crate::model::onnx::Export;
use crate::model::planning::{Builder, Columns, Value};

/// Dropout of a vector's numbers.
#[derive(Debug)]
pub struct Dropout {
    name: String,
    features: u32,
    /// The share that is dropped, below 1.
    rate: f64,
    /// Dropout layers before it.
    place: u32,
}

/// Elements that a layer has for itself, of the counter that masks are drawn from.
const COUNTERS: u32 = 1 << 24;

impl Dropout {
    /// Drops this share of a vector of this shape, with `place` such layers before it.
    pub fn new(name: &str, input: Shape, rate: f64, place: u32) -> Self {
        Self { name: name.to_owned(), features: input.vector() as u32, rate, place }
    }
}

impl Layer for Dropout {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.features as usize)
    }

    fn drops(&self) -> bool {
        true
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let Some(control) = b.control() else {
            return (inputs[0].clone(), Box::new(|_, d| vec![d.clone()]));
        };
        let input = inputs[0].whole_vector();
        let elements = b.batch * self.features;
        let before = b.first_clip.wrapping_mul(self.features);
        let first = self.place.wrapping_mul(COUNTERS).wrapping_add(before);
        let params = dropout::forward::Params {
            first,
            ..dropout::forward::Params::new(elements, 1.0 - self.rate)
        };
        let output = b.plan.scratch(&*self.name, elements as usize);
        b.step(params, dropout::forward::Tensors { control, input, output });
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_input = b.plan.scratch(format!("d_{}", self.name), elements as usize);
            let tensors = dropout::forward::Tensors { control, input: d.whole(), output: d_input };
            b.step(params, tensors);
            vec![d_input.into()]
        });
        (Value::Vector(Columns::all_of(output, self.features)), pullback)
    }

    fn export(&self, _: &mut Export<'_>, inputs: &[String]) -> String {
        inputs[0].clone()
    }

    fn operations(&self) -> Vec<String> {
        vec![format!("dropout {}", self.rate)]
    }

    fn continues(&self) -> bool {
        true
    }
}
