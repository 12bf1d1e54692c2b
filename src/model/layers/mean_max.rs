//! Mean and maximum of a sequence over time.

use super::{Layer, Pullback, Shape};
use crate::kernels::layers::sequence::{mean_max, mean_max_gradient};
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Columns, Value};

/// The means of all features, then the maxima.
#[derive(Debug)]
pub struct MeanMax {
    name: String,
    steps: u32,
    features: u32,
}

impl MeanMax {
    /// A summary of a sequence of this shape.
    pub fn new(name: String, input: Shape) -> Self {
        let [steps, features] = input.sequence().map(|n| n as u32);
        Self { name, steps, features }
    }
}

impl Layer for MeanMax {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Vector(2 * self.features as usize)
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let (&Self { steps, features: columns, .. }, batch) = (self, b.batch);
        let x = inputs[0].whole_sequence();
        // The steps of the maxima.
        let places = (batch * columns) as usize;
        let place = b.plan.scratch_words(format!("{}.place", self.name), places);
        let to = b.vector(&self.name, 2 * columns);
        let Columns { tensor: features, width, first: offset, .. } = to;
        b.step(
            mean_max::Params { batch, steps, columns, width, offset },
            mean_max::Tensors { x, features, place },
        );
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_x = b.scratch(&self.name, "d_input", batch * steps * columns);
            b.step(
                mean_max_gradient::Params { batch, steps, columns, width, offset },
                mean_max_gradient::Tensors { d_features: d.whole(), place, d_x },
            );
            vec![d_x.into()]
        });
        (Value::Vector(to), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let over_time =
            || vec![("axes", Attribute::Ints(vec![0])), ("keepdims", Attribute::Int(0))];
        let [mean, max] = [("mean", "ReduceMean"), ("max", "ReduceMax")].map(|(what, operator)| {
            let name = format!("{}.{what}", self.name);
            onnx.graph.node(&name, operator, &[&inputs[0]], over_time())
        });
        let name = format!("{}.summary", self.name);
        onnx.graph.node(&name, "Concat", &[&mean, &max], vec![("axis", Attribute::Int(1))])
    }

    fn operations(&self) -> Vec<String> {
        vec!["mean and maximum over time".to_owned()]
    }
}
