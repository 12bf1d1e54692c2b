//! max(0, x) of a vector.

use super::{Layer, Pullback, Shape};
use crate::kernels::layers::relu;
use crate::model::onnx::Export;
use crate::model::planning::{Builder, Columns, Value};

/// The rectifier of the dense layer whose name it bears.
#[derive(Debug)]
pub struct Relu {
    name: String,
    columns: u32,
}

impl Relu {
    /// The rectifier of a vector of this shape.
    pub fn new(name: &str, input: Shape) -> Self {
        Self { name: name.to_owned(), columns: input.vector() as u32 }
    }
}

impl Layer for Relu {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.columns as usize)
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let (columns, batch) = (self.columns, b.batch);
        let input = inputs[0].whole_vector();
        let to = b.vector(&format!("{}.output", self.name), columns);
        let Columns { tensor: output, width, first: offset, .. } = to;
        b.step(
            relu::forward::Params { batch, columns, width, offset },
            relu::forward::Tensors { input, output },
        );
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_input = b.scratch(&self.name, "d_sums", batch * columns);
            b.step(
                relu::backward::Params { batch, columns, width, offset },
                relu::backward::Tensors { input, d_output: d.whole(), d_input },
            );
            vec![d_input.into()]
        });
        (Value::Vector(to), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        onnx.graph.node(&format!("{}.relu", self.name), "Relu", &[&inputs[0]], vec![])
    }

    fn operations(&self) -> Vec<String> {
        vec!["ReLU".to_owned()]
    }

    fn continues(&self) -> bool {
        true
    }
}
