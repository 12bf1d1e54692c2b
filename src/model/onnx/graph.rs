//! A graph in the making: nodes that name their inputs, and constants.

use super::proto::{
    AttributeProto, DimensionProto, FLOAT, GraphProto, INT64, NodeProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// A node's setting.
pub enum Attribute<'a> {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
    Text(&'a str),
}

/// What an input or output is along one axis.
pub enum Dimension {
    Batch,
    Size(usize),
}

#[derive(Default)]
pub struct Graph(GraphProto);

impl Graph {
    /// Appends a node with one output, whose name is the node's, and returns that name.
    pub fn node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        attributes: Vec<(&str, Attribute<'_>)>,
    ) -> String {
        self.nodes(name, operator, inputs, &[name], attributes);
        name.to_owned()
    }

    /// Appends a node; an output that nobody needs has no name.
    pub fn nodes(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<(&str, Attribute<'_>)>,
    ) {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        self.0.node.push(NodeProto {
            input: owned(inputs),
            output: owned(outputs),
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute: attributes.into_iter().map(|(name, value)| attribute(name, value)).collect(),
        });
    }

    /// A constant tensor of numbers; returns its name.
    pub fn floats(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, FLOAT, bytes)
    }

    /// A constant of whole numbers: a vector, or a scalar where `shape` is empty.
    pub fn integers(&mut self, name: &str, shape: &[usize], values: &[i64]) -> String {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, shape, INT64, bytes)
    }

    fn constant(
        &mut self,
        name: &str,
        shape: &[usize],
        data_type: i32,
        raw_data: Vec<u8>,
    ) -> String {
        let dims = shape.iter().map(|&size| size as i64).collect();
        self.0.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
        name.to_owned()
    }

    pub fn input(&mut self, name: &str, shape: &[Dimension], meaning: &str) -> String {
        self.0.input.push(value(name, shape, meaning));
        name.to_owned()
    }

    pub fn output(&mut self, name: &str, shape: &[Dimension], meaning: &str) {
        self.0.output.push(value(name, shape, meaning));
    }

    pub fn finish(mut self, name: &str) -> GraphProto {
        self.0.name = name.to_owned();
        self.0
    }
}

fn attribute(name: &str, value: Attribute<'_>) -> AttributeProto {
    let mut attribute = AttributeProto { name: name.to_owned(), ..AttributeProto::default() };
    attribute.kind = match value {
        Attribute::Float(f) => {
            attribute.f = f;
            1
        }
        Attribute::Int(i) => {
            attribute.i = i;
            2
        }
        Attribute::Text(text) => {
            attribute.s = text.into();
            3
        }
        Attribute::Ints(ints) => {
            attribute.ints = ints;
            7
        }
    };
    attribute
}

fn value(name: &str, shape: &[Dimension], meaning: &str) -> ValueInfoProto {
    let dim = shape.iter().map(|dimension| match dimension {
        Dimension::Batch => DimensionProto { dim_value: None, dim_param: Some("batch".to_owned()) },
        Dimension::Size(size) => DimensionProto { dim_value: Some(*size as i64), dim_param: None },
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: FLOAT, shape });
    ValueInfoProto {
        name: name.to_owned(),
        kind: Some(TypeProto { tensor_type }),
        doc_string: meaning.to_owned(),
    }
}
