//! Feature maps side by side, each normalised.

use super::{Layer, Map, Pullback, Shape};
use crate::kernels::layers::map;
use crate::model::onnx::{Attribute, Export};
use crate::model::planning::{Builder, Value};

/// The channels of the maps that it reads, in their order.
#[derive(Debug)]
pub struct Join {
    name: String,
    /// Of each map.
    channels: Vec<u32>,
    bands: u32,
    steps: u32,
}

impl Join {
    /// Of maps of these shapes, which differ in channels alone.
    pub fn new(name: String, inputs: impl IntoIterator<Item = Shape>) -> Self {
        let [mut bands, mut steps] = [0; 2];
        let channels = inputs.into_iter().map(|shape| {
            let planes = shape.planes().map(|n| n as u32);
            [bands, steps] = [planes[1], planes[2]];
            planes[0]
        });
        Self { name, channels: channels.collect(), bands, steps }
    }

    fn out_channels(&self) -> u32 {
        self.channels.iter().sum()
    }

    /// Each map's channels and the first of them among all.
    fn maps(&self) -> impl Iterator<Item = [u32; 2]> + '_ {
        let mut first = 0;
        self.channels.iter().map(move |&channels| {
            first += channels;
            [channels, first - channels]
        })
    }
}

impl Layer for Join {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        let [channels, bands, steps] =
            [self.out_channels(), self.bands, self.steps].map(|n| n as usize);
        Shape::Map { channels, bands, steps }
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let (clips, plane, out_channels) = (b.batch, self.bands * self.steps, self.out_channels());
        let out_quads = out_channels.div_ceil(4);
        let output = b.scratch(&self.name, "values", 4 * clips * out_quads * plane);
        let affine = b.scratch(&self.name, "no affine", 8 * out_quads);
        for ([channels, first], input) in self.maps().zip(inputs) {
            let &Map { values, affine: input_affine, .. } = input.map();
            b.step(
                map::join::Params { clips, channels, out_channels, first, plane },
                map::join::Tensors { input: values, input_affine, output, affine },
            );
        }
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let d_output = d.whole();
            let gradients = self.maps().map(|[channels, first]| {
                let length = 4 * clips * channels.div_ceil(4) * plane;
                let d_input = b.scratch(&self.name, &format!("d_{first}"), length);
                b.step(
                    map::split::Params { clips, channels, out_channels, first, plane },
                    map::split::Tensors { d_output, d_input },
                );
                d_input.into()
            });
            gradients.collect()
        });
        (Value::Map(Map::new(output, affine)), pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        onnx.graph.node(&self.name, "Concat", &inputs, vec![("axis", Attribute::Int(1))])
    }

    fn operations(&self) -> Vec<String> {
        vec!["side by side".to_owned()]
    }
}
