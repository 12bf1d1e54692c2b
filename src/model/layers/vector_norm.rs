//! Batch norm of a vector's numbers.

use super::{Init, Layer, Parameter, Pullback, Shape};
use crate::kernels::layers::batch_norm;
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Columns, Value};

/// Each number normalised over the batch, scaled and shifted.
#[derive(Debug)]
pub struct VectorNorm {
    name: String,
    features: u32,
}

impl VectorNorm {
    /// Of a vector of this shape.
    pub fn new(name: String, input: Shape) -> Self {
        Self { name, features: input.vector() as u32 }
    }
}

impl Layer for VectorNorm {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.features as usize)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let own = |what, init| Parameter::new(&self.name, what, &[self.features as usize], init);
        vec![own("weight", Init::Ones), own("bias", Init::Zeros)]
    }

    fn buffers(&self) -> Vec<Parameter> {
        let own = |what, init| Parameter::new(&self.name, what, &[self.features as usize], init);
        vec![own("running_mean", Init::Zeros), own("running_var", Init::Ones)]
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let (batch, features) = (b.batch, self.features);
        let input = inputs[0].whole_vector();
        let [gamma, beta] = ["weight", "bias"].map(|what| b.parameter(&self.name, what));
        let [running_mean, running_var] =
            ["running_mean", "running_var"].map(|what| b.buffer(&self.name, what));
        let output = b.scratch(&self.name, "output", batch * features);
        let value = Value::Vector(Columns::all_of(output, features));
        if !b.trains() {
            b.step(
                batch_norm::vector_inference::Params::new(batch, features),
                batch_norm::vector_inference::Tensors {
                    input,
                    gamma,
                    beta,
                    running_mean,
                    running_var,
                    output,
                },
            );
            return (value, Box::new(|_, _| unreachable!("only training goes back")));
        }
        let moments = b.scratch(&self.name, "moments", 3 * features);
        b.step(
            batch_norm::vector_forward::Params::new(batch, features),
            batch_norm::vector_forward::Tensors {
                input,
                gamma,
                beta,
                running_mean,
                running_var,
                moments,
                output,
            },
        );
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let [d_gamma, d_beta] = ["weight", "bias"].map(|what| b.gradient(&self.name, what));
            let d_input = b.scratch(&self.name, "d_input", batch * features);
            b.step(
                batch_norm::vector_backward::Params { batch, features },
                batch_norm::vector_backward::Tensors {
                    input,
                    moments,
                    d_output: d.whole(),
                    d_input,
                    d_gamma,
                    d_beta,
                },
            );
            vec![d_input.into()]
        });
        (value, pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let own = |what: &str| format!("{}.{what}", self.name);
        let [scale, shift, mean, variance] =
            ["weight", "bias", "running_mean", "running_var"].map(|what| onnx.tensor(&own(what)));
        let epsilon = vec![("epsilon", Attribute::Float(batch_norm::EPSILON))];
        let inputs = [&*inputs[0], &scale, &shift, &mean, &variance];
        onnx.graph.node(&self.name, "BatchNormalization", &inputs, epsilon)
    }

    fn operations(&self) -> Vec<String> {
        vec!["batch norm".to_owned()]
    }
}
