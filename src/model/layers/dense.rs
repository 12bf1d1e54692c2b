//! A dense layer: weights · x + bias.

use super::{Init, Layer, Parameter, Pullback, Shape};
use crate::kernels::layers::dense;
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Columns, Value};

/// A matrix and a bias.
#[derive(Debug)]
pub struct Dense {
    name: String,
    /// The name of what comes out.
    sums: String,
    inputs: u32,
    outputs: u32,
}

impl Dense {
    /// A layer of so many outputs on a vector of this shape; `sums` is their name.
    pub fn new(name: &str, sums: String, input: Shape, outputs: usize) -> Self {
        let inputs = input.vector() as u32;
        Self { name: name.to_owned(), sums, inputs, outputs: outputs as u32 }
    }
}

impl Layer for Dense {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.outputs as usize)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let [inputs, outputs] = [self.inputs, self.outputs].map(|n| n as usize);
        let glorot = Init::GlorotUniform { fan_in: inputs, fan_out: outputs };
        vec![
            Parameter::new(&self.name, "weight", &[outputs, inputs], glorot),
            Parameter::new(&self.name, "bias", &[outputs], Init::Zeros),
        ]
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let (&Self { inputs: ins, outputs, .. }, batch) = (self, b.batch);
        let input = inputs[0].whole_vector();
        let [weight, bias] = ["weight", "bias"].map(|what| b.parameter(&self.name, what));
        let output = b.plan.scratch(&*self.sums, (batch * outputs) as usize);
        b.step(
            dense::forward::Params { batch, inputs: ins, outputs },
            dense::forward::Tensors { input, weight, bias, output },
        );
        let wanted = b.trains_below();
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_output = d.whole();
            let [d_weight, d_bias] = ["weight", "bias"].map(|what| b.gradient(&self.name, what));
            b.step(
                dense::weight_gradient::Params { batch, inputs: ins, outputs },
                dense::weight_gradient::Tensors { d_output, input, d_weight, d_bias },
            );
            if !wanted {
                return Vec::new();
            }
            let d_input = b.scratch(&self.name, "d_input", batch * ins);
            b.step(
                dense::input_gradient::Params { batch, inputs: ins, outputs },
                dense::input_gradient::Tensors { d_output, weight, d_input },
            );
            vec![d_input.into()]
        });
        (Value::Vector(Columns::all_of(output, outputs)), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let [weight, bias] =
            ["weight", "bias"].map(|what| onnx.tensor(&format!("{}.{what}", self.name)));
        let transposed = vec![("transB", Attribute::Int(1))];
        onnx.graph.node(&self.sums, "Gemm", &[&inputs[0], &weight, &bias], transposed)
    }

    fn operations(&self) -> Vec<String> {
        vec![format!("dense {}", self.outputs)]
    }
}
