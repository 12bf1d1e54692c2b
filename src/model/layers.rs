//! A model's layers as people want to see them: what each does, what comes out, what it learns.

use super::parameters::parameters;
use super::preset::{Output, Preset, Summary};
use crate::kernels::features::HANDCRAFTED;

/// Layers one after another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// The first part of its tensors' names.
    pub name: String,
    /// In the order of computation.
    pub layers: Vec<Layer>,
}

/// One layer, or a block of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// As its tensors' names begin; none of their own have `""`.
    pub name: String,
    /// In the order of computation.
    pub operations: Vec<String>,
    /// Of one clip: channels × bands × steps, steps × features, or features.
    pub output: Vec<usize>,
    /// Trained numbers.
    pub parameters: usize,
}

/// What reads the input, side by side (the branches or the RNN, then the hand-crafted features), and
/// the head that follows them.
pub fn stacks(preset: &Preset) -> (Vec<Stack>, Stack) {
    let all = parameters(preset);
    let count = |name: &str| {
        let prefix = format!("{name}.");
        let own = all.iter().filter(|parameter| parameter.name.starts_with(&prefix));
        own.map(|parameter| parameter.shape.iter().product::<usize>()).sum()
    };
    let layer = |name: String, operations: Vec<String>, output: Vec<usize>| {
        let parameters = count(&name);
        Layer { name, operations, output, parameters }
    };
    let lstms = |owner: &str, units: &[usize], steps: usize| -> Vec<Layer> {
        let last = units.len().saturating_sub(1);
        let one = |(j, &units): (usize, &usize)| {
            let (what, output) = match j == last {
                true => ("last states", vec![2 * units]),
                false => ("sequence", vec![steps, 2 * units]),
            };
            let operations = vec![format!("bidirectional LSTM {units}"), what.to_owned()];
            layer(format!("{owner}.lstm{j}"), operations, output)
        };
        units.iter().enumerate().map(one).collect()
    };

    let mut inputs = Vec::new();
    for branch in &preset.model.branch {
        let [rows, columns] = branch.kernel;
        let mut layers = Vec::new();
        let blocks = preset.block_shapes(branch);
        for (i, block) in blocks.iter().enumerate() {
            let mut operations = vec![
                format!("convolution {rows}\u{a0}×\u{a0}{columns}"),
                "ReLU".to_owned(),
                "batch norm".to_owned(),
            ];
            if i + 1 < blocks.len() {
                let [bands, steps] = branch.pool;
                operations.push(format!("max pool {bands}\u{a0}×\u{a0}{steps}"));
            }
            let output = vec![block.out_channels, block.pooled_bands, block.pooled_steps];
            layers.push(layer(format!("{}.blocks.{i}", branch.name), operations, output));
        }
        layers.extend(lstms(&branch.name, &branch.lstm, preset.sequence(branch).steps));
        if branch.summary == Some(Summary::MeanMax) {
            let operations = vec!["mean and maximum over time".to_owned()];
            layers.push(layer(String::new(), operations, vec![preset.branch_features(branch)]));
        }
        inputs.push(Stack { name: branch.name.clone(), layers });
    }
    if let Some(rnn) = &preset.model.rnn {
        let layers = lstms("rnn", &rnn.lstm, preset.frames());
        inputs.push(Stack { name: "rnn".to_owned(), layers });
    }
    if let Some(handcrafted) = &preset.model.handcrafted {
        let features = vec!["crossing rate, centroid, rolloff: mean and deviation".to_owned()];
        let mut layers = vec![layer(String::new(), features, vec![HANDCRAFTED])];
        layers.extend(handcrafted.hidden.iter().enumerate().map(|(k, &units)| {
            let operations = vec![format!("dense {units}"), "ReLU".to_owned()];
            layer(format!("handcrafted.fc{k}"), operations, vec![units])
        }));
        inputs.push(Stack { name: "handcrafted".to_owned(), layers });
    }

    let (features, moods) = (preset.head_features(), preset.moods.len());
    let output = match preset.model.output {
        Output::Softmax => "softmax",
        Output::Sigmoid => "sigmoid",
    };
    let mut joined = vec!["concatenation".to_owned()];
    if preset.model.dropout > 0.0 {
        joined.push(format!("dropout {}", preset.model.dropout));
    }
    let head = vec![
        layer(String::new(), joined, vec![features]),
        layer("dense".to_owned(), vec![format!("dense {moods}"), output.to_owned()], vec![moods]),
    ];
    (inputs, Stack { name: "head".to_owned(), layers: head })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paper_has_the_shapes_and_parameters_of_its_tensors() {
        let preset = Preset::named("paper").unwrap();
        let (inputs, head) = stacks(&preset);
        let outputs: Vec<&[usize]> =
            inputs[0].layers.iter().map(|layer| &layer.output[..]).collect();
        assert_eq!(outputs[0], [16, 64, 646]);
        assert_eq!(outputs[5..], [&[64, 2, 20][..], &[64, 2, 20], &[20, 256], &[64]]);
        assert_eq!(inputs[0].layers[0].parameters, 16 * 9 + 3 * 16);
        let counted: usize = inputs
            .iter()
            .chain([&head])
            .flat_map(|stack| &stack.layers)
            .map(|layer| layer.parameters)
            .sum();
        let all: usize =
            parameters(&preset).iter().map(|p| p.shape.iter().product::<usize>()).sum();
        assert_eq!(counted, all);
        assert_eq!(head.layers[1].output, [10]);
    }
}
