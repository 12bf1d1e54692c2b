//! The input of the layers that are trained on what frozen layers make of a clip.

use super::{Layer, Pullback, Shape};
use crate::model::onnx::Export;
use crate::model::planning::{Builder, Columns, Value};

/// Vectors that were computed before.
#[derive(Debug)]
pub struct Embedded {
    /// Numbers of a clip.
    pub features: usize,
}

impl Layer for Embedded {
    fn name(&self) -> &str {
        "embedded"
    }

    fn output(&self) -> Shape {
        Shape::Vector(self.features)
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, _: &[Value]) -> (Value, Pullback<'a>) {
        let columns = Columns::all_of(b.input, self.features as u32);
        (Value::Vector(columns), Box::new(|_, _| Vec::new()))
    }

    fn export(&self, _: &mut Export<'_>, _: &[String]) -> String {
        unreachable!("whole models are exported")
    }
}
