//! A branch of the network: convolution blocks, then LSTMs or a summary over time; forward and
//! backward.

use crate::kernels::layers::sequence;
use crate::model::block::{Block, Shape, compute_entry_again};
use crate::model::lstm::{self, Sequence, Stack};
use crate::model::network::Builder;
use crate::model::packing::Packing;
use crate::model::preset::{self, Preset};
use crate::plan::{Layout, TensorId};

/// A planned forward pass, with what the backward pass needs of it.
pub(super) struct Branch {
    blocks: Vec<Block>,
    map: sequence::forward::Params,
    end: End,
}

/// What takes the sequence that the blocks end in to columns of the summary.
enum End {
    Lstms(Stack),
    MeanMax {
        params: sequence::mean_max::Params,
        /// The steps of the maxima.
        place: TensorId,
    },
}

impl Branch {
    /// Has the weights of all layers packed; the gradient to the features is nobody's wish.
    pub fn pack(
        packing: &mut Packing,
        layout: &Layout,
        preset: &Preset,
        branch: &preset::Branch,
        training: bool,
    ) {
        for (index, block) in preset.block_shapes(branch).iter().enumerate() {
            Shape::new(branch, index, block).pack(packing, layout, index == 0, training);
        }
        let width = preset.sequence(branch).features as u32;
        lstm::pack(packing, layout, &branch.name, width, &branch.lstm);
    }

    /// Appends the forward pass from log-mel spectrograms in dB into columns of the summary;
    /// `columns` are the summary's width and the branch's first column.
    pub fn forward(
        b: &mut Builder<'_>,
        branch: &preset::Branch,
        log_mel: TensorId,
        summary: TensorId,
        columns: [u32; 2],
    ) -> Self {
        let batch = b.batch;
        let mut blocks: Vec<Block> = Vec::new();
        for (index, block) in b.network.preset().block_shapes(branch).iter().enumerate() {
            let shape = Shape::new(branch, index, block);
            let block = Block::forward(b, shape, log_mel, blocks.last());
            blocks.push(block);
        }

        let last = &blocks[blocks.len() - 1];
        let Shape { plane, window, channels: [_, channels], .. } = last.shape;
        let [bands, steps] = [plane[0] / window[0], plane[1] / window[1]];
        let map = sequence::forward::Params { batch, channels, bands, steps };
        let width = channels * bands;
        let x =
            b.plan.scratch(format!("{}.sequence", branch.name), (batch * steps * width) as usize);
        b.step(
            map,
            sequence::forward::Tensors { input: last.pooled, affine: last.norm.affine, output: x },
        );

        let end = if branch.lstm.is_empty() {
            let [all, offset] = columns;
            let params =
                sequence::mean_max::Params { batch, steps, columns: width, width: all, offset };
            let places = (batch * width) as usize;
            let place = b.plan.scratch_words(format!("{}.place", branch.name), places);
            b.step(params, sequence::mean_max::Tensors { x, features: summary, place });
            End::MeanMax { params, place }
        } else {
            let owner = &branch.name;
            let x = Sequence { owner, x, clips: [0, batch], steps, features: width };
            End::Lstms(Stack::forward(b, x, &branch.lstm, summary, columns))
        };
        Self { blocks, map, end }
    }

    /// Appends the backward pass from the gradient to the summary.
    pub fn backward(self, b: &mut Builder<'_>, log_mel: TensorId, d_summary: TensorId) {
        let sequence::forward::Params { batch, channels, bands, steps } = self.map;
        let name = &self.blocks[0].shape.name;
        let d_sequence = match self.end {
            End::Lstms(stack) => {
                let d_gates = stack.backward(b, d_summary, false);
                stack.input_gradient(b, d_gates)
            }
            End::MeanMax { params, place } => {
                let sequence::mean_max::Params { batch, steps, columns, width, offset } = params;
                let length = (batch * steps * columns) as usize;
                let d_x = b.plan.scratch(format!("{name}.d_sequence"), length);
                b.step(
                    sequence::mean_max_gradient::Params { batch, steps, columns, width, offset },
                    sequence::mean_max_gradient::Tensors { d_features: d_summary, place, d_x },
                );
                d_x
            }
        };
        let length = 4 * (batch * channels.div_ceil(4) * bands * steps) as usize;
        let d_map = b.plan.scratch(format!("{name}.d_map"), length);
        b.step(
            sequence::backward::Params { batch, channels, bands, steps },
            sequence::backward::Tensors { d_output: d_sequence, d_input: d_map },
        );
        let mut d = d_map;
        let mut blocks = self.blocks;
        for index in (0..blocks.len()).rev() {
            if index == 1 {
                compute_entry_again(b, &mut blocks, log_mel);
            }
            if let Some(below) = blocks[index].backward(b, index == 0, log_mel, d) {
                d = below;
            }
        }
    }
}
