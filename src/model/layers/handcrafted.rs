//! The input of hand-crafted features, standardised.

use super::{Layer, Pullback, Shape};
use crate::kernels::Element;
use crate::kernels::features::{HANDCRAFTED, standardise_handcrafted};
use crate::model::onnx::{Dimension, Export};
use crate::model::planning::{Builder, Columns, Value};

/// Six numbers of a clip.
#[derive(Debug)]
pub struct Handcrafted;

/// The normalisation of a model that reads them.
const NORMALIZED: &str = "a model with hand-crafted features has their normalisation";

impl Layer for Handcrafted {
    fn name(&self) -> &str {
        "handcrafted"
    }

    fn output(&self) -> Shape {
        Shape::Vector(HANDCRAFTED)
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, _: &[Value]) -> (Value, Pullback<'a>) {
        let normalization = b.network.normalization().handcrafted.expect(NORMALIZED);
        let (mean, std) = (normalization.mean, normalization.std);
        let elements = b.batch as usize * HANDCRAFTED;
        let input = b.plan.input("hand-crafted", elements, Element::F32);
        b.handcrafted = Some(input);
        let output = b.plan.scratch("handcrafted.standardised", elements);
        b.step(
            standardise_handcrafted::Params::new(b.batch, mean, std),
            standardise_handcrafted::Tensors { input, output },
        );
        (Value::Vector(Columns::all_of(output, HANDCRAFTED as u32)), Box::new(|_, _| Vec::new()))
    }

    fn export(&self, onnx: &mut Export<'_>, _: &[String]) -> String {
        let shape = [Dimension::Batch, Dimension::Size(HANDCRAFTED)];
        let input = onnx.graph.input(
            "handcrafted",
            &shape,
            "mean and deviation of zero crossing rate, spectral centroid and rolloff, before \
             standardisation",
        );
        let normalization = onnx.normalization.handcrafted.expect(NORMALIZED);
        let (mean, std) = (normalization.mean, normalization.std);
        onnx.standardised("handcrafted.", &input, &[HANDCRAFTED], &mean, &std)
    }

    fn operations(&self) -> Vec<String> {
        vec!["crossing rate, centroid, rolloff: mean and deviation".to_owned()]
    }
}
