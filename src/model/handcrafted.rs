//! The embedding of the hand-crafted features: dense layers with ReLU; forward and backward.

use crate::kernels::features::standardise_handcrafted;
use crate::kernels::layers::{dense, relu};
use crate::model::network::Builder;
use crate::plan::TensorId;

/// A planned forward pass.
pub(super) struct Embedding {
    layers: Vec<Layer>,
}

/// A dense layer and its ReLU.
struct Layer {
    name: String,
    dense: dense::forward::Params,
    relu: relu::forward::Params,
    /// [batch, inputs]
    input: TensorId,
    /// Before the ReLU, [batch, outputs].
    sums: TensorId,
}

impl Embedding {
    /// Appends the forward pass from features [batch, 6] into columns of the
    /// summary; `columns` are the summary's width and the first column.
    pub fn forward(
        b: &mut Builder<'_>,
        hidden: &[usize],
        features: TensorId,
        summary: TensorId,
        columns: [u32; 2],
    ) -> Self {
        let batch = b.batch;
        let normalization = b.network.normalization().handcrafted;
        let normalization = normalization.unwrap_or_else(|| {
            panic!("a model with hand-crafted features needs their normalisation")
        });
        let params =
            standardise_handcrafted::Params::new(batch, normalization.mean, normalization.std);
        let mut inputs = normalization.mean.len() as u32;
        let mut input = b.plan.scratch("handcrafted.standardised", (batch * inputs) as usize);
        b.step(params, standardise_handcrafted::Tensors { input: features, output: input });

        let mut layers = Vec::new();
        for (index, &outputs) in hidden.iter().enumerate() {
            let name = format!("handcrafted.fc{index}");
            let outputs = outputs as u32;
            let last = index + 1 == hidden.len();
            let length = (batch * outputs) as usize;
            let sums = b.plan.scratch(format!("{name}.sums"), length);
            let weight = b.parameter(&format!("{name}.weight"));
            let bias = b.parameter(&format!("{name}.bias"));
            let dense = dense::forward::Params { batch, inputs, outputs };
            b.step(dense, dense::forward::Tensors { input, weight, bias, output: sums });
            let [width, offset] = if last { columns } else { [outputs, 0] };
            let output = match last {
                true => summary,
                false => b.plan.scratch(format!("{name}.output"), length),
            };
            let relu = relu::forward::Params { batch, columns: outputs, width, offset };
            b.step(relu, relu::forward::Tensors { input: sums, output });
            layers.push(Layer { name, dense, relu, input, sums });
            (input, inputs) = (output, outputs);
        }
        Self { layers }
    }

    /// Appends the backward pass from the gradient to the summary.
    pub fn backward(self, b: &mut Builder<'_>, d_summary: TensorId) {
        let mut d_output = d_summary;
        for (index, Layer { name, dense, relu, input, sums }) in
            self.layers.into_iter().enumerate().rev()
        {
            let dense::forward::Params { batch, inputs, outputs } = dense;
            let relu::forward::Params { columns, width, offset, .. } = relu;
            let d_sums = b.plan.scratch(format!("{name}.d_sums"), (batch * outputs) as usize);
            b.step(
                relu::backward::Params { batch, columns, width, offset },
                relu::backward::Tensors { input: sums, d_output, d_input: d_sums },
            );
            let d_weight = b.gradient(&format!("{name}.weight"));
            let d_bias = b.gradient(&format!("{name}.bias"));
            b.step(
                dense::weight_gradient::Params { batch, inputs, outputs },
                dense::weight_gradient::Tensors { d_output: d_sums, input, d_weight, d_bias },
            );
            if index == 0 {
                return;
            }
            let weight = b.parameter(&format!("{name}.weight"));
            d_output = b.plan.scratch(format!("{name}.d_input"), (batch * inputs) as usize);
            b.step(
                dense::input_gradient::Params { batch, inputs, outputs },
                dense::input_gradient::Tensors { d_output: d_sums, weight, d_input: d_output },
            );
        }
    }
}
