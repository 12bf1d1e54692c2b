//! Vectors side by side. What makes them writes into the columns of one tensor, so that nothing is
//! copied.

use super::{Layer, Pullback, Shape};
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Columns, Value};

/// The vectors that it reads, in their order.
#[derive(Debug)]
pub struct Concatenation {
    name: String,
    features: usize,
}

impl Concatenation {
    /// Of vectors of these shapes.
    pub fn new(name: &str, inputs: impl IntoIterator<Item = Shape>) -> Self {
        let features = inputs.into_iter().map(Shape::vector).sum();
        Self { name: name.to_owned(), features }
    }
}

impl Layer for Concatenation {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.features)
    }

    fn joins(&self) -> bool {
        true
    }

    fn plan<'a>(&'a self, _: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let Columns { tensor, width, .. } = inputs[0].vector();
        let mut filled = 0;
        for columns in inputs.iter().map(Value::vector) {
            let follows = columns.tensor == tensor && columns.first == filled;
            assert!(follows, "{}: a layer does not write where `Builder::vector` says", self.name);
            filled += columns.count;
        }
        assert_eq!(filled, width, "{}", self.name);
        let count = inputs.len();
        // Each finds its own columns in the gradient, as in the tensor.
        let pullback: Pullback<'a> = Box::new(move |_, d| vec![d.clone(); count]);
        (Value::Vector(Columns::all_of(tensor, width)), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        onnx.graph.node(&self.name, "Concat", &inputs, vec![("axis", Attribute::Int(1))])
    }

    fn operations(&self) -> Vec<String> {
        vec!["concatenation".to_owned()]
    }
}
