//! A model as people want to see it: what each layer does, what comes out, what it learns.

use super::architecture::HEAD;
use super::graph::Graph;
use super::layers::Parameter;

/// Lines under a heading, one layer after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The first part of its tensors' names, or "head".
    pub heading: String,
    /// In the order of computation.
    pub lines: Vec<Line>,
}

/// One layer, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// As its tensors' names begin; `""` where it has none of its own.
    pub name: String,
    /// In the order of computation.
    pub operations: Vec<String>,
    /// Sizes of one clip's output: channels × bands × steps, steps × features, or features.
    pub output: Vec<usize>,
    /// Trained numbers.
    pub parameters: usize,
}

/// What reads the inputs, side by side (the branches or the RNN, then the hand-crafted features), and
/// the head that follows them.
pub fn outline(graph: &Graph) -> (Vec<Column>, Column) {
    let mut columns: Vec<Column> = Vec::new();
    let mut head = Column { heading: HEAD.to_owned(), lines: Vec::new() };
    for node in graph.nodes() {
        let layer = &node.layer;
        let operations = layer.operations();
        if operations.is_empty() {
            continue;
        }
        let is_new = |column: &Column| column.heading != node.heading;
        if node.heading != HEAD && columns.last().is_none_or(is_new) {
            columns.push(Column { heading: node.heading.clone(), lines: Vec::new() });
        }
        let column = columns.last_mut().filter(|_| node.heading != HEAD).unwrap_or(&mut head);
        let output = layer.output().sizes();
        match column.lines.last_mut().filter(|_| layer.continues()) {
            Some(line) => {
                line.operations.extend(operations);
                line.output = output;
            }
            None => {
                let parameters = layer.parameters().iter().map(Parameter::elements).sum();
                let name = if parameters > 0 { layer.name().to_owned() } else { String::new() };
                column.lines.push(Line { name, operations, output, parameters });
            }
        }
    }
    (columns, head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::parameters::parameters;
    use crate::model::preset::Preset;

    #[test]
    fn paper_has_the_shapes_and_parameters_of_its_tensors() {
        let preset = Preset::named("paper").unwrap();
        let (inputs, head) = outline(&Graph::of(&preset).unwrap());
        let outputs: Vec<&[usize]> = inputs[0].lines.iter().map(|line| &line.output[..]).collect();
        assert_eq!(outputs[0], [16, 64, 646]);
        assert_eq!(outputs[5..], [&[64, 2, 20][..], &[64, 2, 20], &[20, 256], &[64]]);
        assert_eq!(inputs[0].lines[0].parameters, 16 * 9 + 3 * 16);
        let counted: usize = inputs
            .iter()
            .chain([&head])
            .flat_map(|column| &column.lines)
            .map(|line| line.parameters)
            .sum();
        let all: usize =
            parameters(&preset).iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!(counted, all);
        assert_eq!(head.lines[1].output, [10]);
    }
}
