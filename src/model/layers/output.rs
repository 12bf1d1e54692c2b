//! The end of a model: what turns logits into probabilities, and the loss that goes with it.

use super::{Layer, Pullback, Shape};
use crate::kernels::layers::{sigmoid, softmax};
use crate::kernels::{Element, loss};
use crate::model::onnx::{Attribute, Dimension, Export};
use crate::model::planning::{Builder, Columns, Judged, Value};
use crate::model::preset::{ClassWeights, Output};
use crate::plan::{Storage, TensorId};

/// Probabilities of the moods.
#[derive(Debug)]
pub struct OutputLayer {
    output: Output,
    moods: u32,
}

impl OutputLayer {
    /// The end that the preset asks for, on logits of this shape.
    pub fn new(output: Output, input: Shape) -> Self {
        Self { output, moods: input.vector() as u32 }
    }

    /// Probabilities alone.
    fn probabilities(&self, b: &mut Builder<'_>, logits: TensorId) -> TensorId {
        let (batch, moods) = (b.batch, self.moods);
        let probabilities = b.plan.output("probabilities", (batch * moods) as usize);
        match self.output {
            Output::Softmax => b.step(
                softmax::forward::Params { batch, moods },
                softmax::forward::Tensors { logits, probabilities },
            ),
            Output::Sigmoid => b.step(
                sigmoid::forward::Params { elements: batch * moods },
                sigmoid::forward::Tensors { logits, probabilities },
            ),
        }
        probabilities
    }

    /// Probabilities, the loss against targets, and in training the gradient to the logits.
    fn judged(&self, b: &mut Builder<'_>, logits: TensorId) -> Judged {
        let (batch, moods) = (b.batch, self.moods);
        let length = (batch * moods) as usize;
        let targets = b.plan.input("targets", length, Element::F32);
        let probabilities = b.plan.output("probabilities", length);
        let loss = b.plan.output("loss", batch as usize);
        let d_logits = b.plan.scratch("d_logits", length);
        match self.output {
            Output::Softmax => b.step(
                loss::softmax_bce::Params { batch, moods },
                loss::softmax_bce::Tensors { logits, targets, probabilities, loss, d_logits },
            ),
            Output::Sigmoid => b.step(
                loss::sigmoid_bce::Params { batch, moods },
                loss::sigmoid_bce::Tensors { logits, targets, probabilities, loss, d_logits },
            ),
        }
        let weighted = b.network.preset().train.class_weights != ClassWeights::None;
        let weights = (b.trains() && weighted)
            .then(|| b.plan.input("class weights", moods as usize, Element::F32));
        if let Some(weights) = weights {
            let softmax = u32::from(self.output == Output::Softmax);
            b.step(
                loss::positive_weights::Params { batch, moods, softmax },
                loss::positive_weights::Tensors { logits, targets, weights, loss, d_logits },
            );
        }
        if b.trains() {
            let total = b.plan.stored("epoch loss", Storage::EpochLoss, 0, 1);
            b.step(loss::accumulate::Params { batch }, loss::accumulate::Tensors { loss, total });
        }
        Judged { targets, class_weights: weights, probabilities, loss, d_logits }
    }
}

impl Layer for OutputLayer {
    fn name(&self) -> &str {
        "probabilities"
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.moods as usize)
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let logits = inputs[0].whole_vector();
        let probabilities = match b.judges() {
            false => self.probabilities(b, logits),
            true => {
                let judged = self.judged(b, logits);
                b.judged = Some(judged);
                judged.probabilities
            }
        };
        // The loss's own kernel wrote the gradient to the logits.
        let pullback: Pullback<'a> = Box::new(|_, d| vec![d.clone()]);
        (Value::Vector(Columns::all_of(probabilities, self.moods)), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let (operator, axis) = match self.output {
            Output::Softmax => ("Softmax", vec![("axis", Attribute::Int(1))]),
            Output::Sigmoid => ("Sigmoid", vec![]),
        };
        let name = onnx.graph.node("probabilities", operator, &[&inputs[0]], axis);
        let shape = [Dimension::Batch, Dimension::Size(self.moods as usize)];
        onnx.graph.output(&name, &shape, "of each mood, in the order of the labels");
        name
    }

    fn operations(&self) -> Vec<String> {
        let name = match self.output {
            Output::Softmax => "softmax",
            Output::Sigmoid => "sigmoid",
        };
        vec![name.to_owned()]
    }

    fn continues(&self) -> bool {
        true
    }
}
