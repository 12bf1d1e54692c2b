//! Bidirectional LSTMs, one on another, of which the last returns its final states; forward and
//! backward.

use crate::kernels::layers::lstm;
use crate::model::network::Builder;
use crate::model::packing::Packing;
use crate::plan::{Layout, TensorId};

/// A sequence of some of the batch's clips, and where its summary goes.
#[derive(Clone, Copy)]
pub(super) struct Sequence<'a> {
    /// First part of the tensors' names.
    pub owner: &'a str,
    /// [clips, steps, features]
    pub x: TensorId,
    /// The first clip and how many.
    pub clips: [u32; 2],
    pub steps: u32,
    pub features: u32,
}

/// Has the weights of every layer packed for the forward pass.
pub(super) fn pack(
    packing: &mut Packing,
    layout: &Layout,
    owner: &str,
    mut features: u32,
    units: &[usize],
) {
    for (index, &units) in units.iter().enumerate() {
        let units = units as u32;
        for (kind, inputs) in [("ih", features), ("hh", units)] {
            let parameter = format!("{owner}.lstm{index}.weight_{kind}_l0");
            let name = format!("{owner}.lstm{index}.packed_{kind}");
            packing.add(layout, name, &parameter, &lstm::packing(units, inputs));
        }
        features = 2 * units;
    }
}

/// The launches of a walk over all steps, as [begin, end) of each: equal shares, so that none is
/// there for the few steps that are left.
fn launches(
    b: &Builder<'_>,
    steps: u32,
    units: u32,
) -> impl DoubleEndedIterator<Item = [u32; 2]> + use<> {
    let count = steps.div_ceil((b.limits.launch / units).max(1));
    let edge = move |i| (u64::from(steps) * u64::from(i) / u64::from(count)) as u32;
    (0..count).map(move |i| [edge(i), edge(i + 1)])
}

/// Planned layers, with what the backward pass needs of them.
pub(super) struct Stack {
    layers: Vec<Layer>,
    /// The first clip and how many.
    clips: [u32; 2],
    /// Width of the summary and the first column of this stack.
    columns: [u32; 2],
}

struct Layer {
    name: String,
    clips: u32,
    steps: u32,
    features: u32,
    units: u32,
    input: TensorId,
    gates: TensorId,
    cells: TensorId,
    hidden: TensorId,
}

impl Layer {
    fn forward(b: &mut Builder<'_>, name: String, x: Sequence<'_>, units: u32) -> Self {
        let Sequence { x: input, clips: [_, clips], steps, features, .. } = x;
        let [ih, hh] = ["ih", "hh"].map(|kind| b.packed(&format!("{name}.packed_{kind}")));
        let rows = clips * steps;
        let walk = (2 * rows * units) as usize;
        let bias = b.parameter(&format!("{name}.bias_ih_l0"));
        let gates = b.plan.scratch(format!("{name}.gates"), 4 * walk);
        b.step(
            lstm::input_product::Params { rows, features, units },
            lstm::input_product::Tensors { x: input, packed_ih: ih, bias, gates },
        );
        let cells = b.plan.scratch(format!("{name}.cells"), walk);
        let hidden = b.plan.scratch(format!("{name}.hidden"), walk);
        for [begin, end] in launches(b, steps, units) {
            b.step(
                lstm::recurrence_forward::Params { batch: clips, steps, units, begin, end },
                lstm::recurrence_forward::Tensors { packed_hh: hh, gates, cells, hidden },
            );
        }
        Self { name, clips, steps, features, units, input, gates, cells, hidden }
    }

    /// Appends the backward pass, without the gradient to the input; returns that to the gates.
    fn backward(&self, b: &mut Builder<'_>, d_hidden: TensorId, adds: bool) -> TensorId {
        let Self { name, clips, steps, features, units, input, gates, cells, hidden } = self;
        let (batch, steps, features, units) = (*clips, *steps, *features, *units);
        let rows = batch * steps;
        let recurrent = b.parameter(&format!("{name}.weight_hh_l0"));
        let d_gates = b.plan.scratch(format!("{name}.d_gates"), (8 * rows * units) as usize);
        let carry = b.plan.scratch(format!("{name}.carry"), (2 * batch * units) as usize);
        for [begin, end] in launches(b, steps, units).rev() {
            b.step(
                lstm::recurrence_backward::Params { batch, steps, units, begin, end },
                lstm::recurrence_backward::Tensors {
                    weight_hh: recurrent,
                    gates: *gates,
                    cells: *cells,
                    d_hidden,
                    carry,
                    d_gates,
                },
            );
        }
        let [weight_ih, bias, weight_hh] = ["weight_ih_l0", "bias_ih_l0", "weight_hh_l0"]
            .map(|what| b.gradient(&format!("{name}.{what}")));
        b.gradients_of_part([weight_ih, bias], adds, |b, [d_weight_ih, d_bias]| {
            b.step(
                lstm::weight_gradient::Params { rows, features, units },
                lstm::weight_gradient::Tensors { d_gates, x: *input, d_weight_ih, d_bias },
            );
        });
        b.gradients_of_part([weight_hh], adds, |b, [d_weight_hh]| {
            b.step(
                lstm::recurrent_gradient::Params { batch, steps, units },
                lstm::recurrent_gradient::Tensors { d_gates, hidden: *hidden, d_weight_hh },
            );
        });
        d_gates
    }

    fn input_gradient(&self, b: &mut Builder<'_>, d_gates: TensorId) -> TensorId {
        let Self { name, clips, steps, features, units, .. } = self;
        let (rows, features, units) = (clips * steps, *features, *units);
        let weight_ih = b.parameter(&format!("{name}.weight_ih_l0"));
        let d_x = b.plan.scratch(format!("{name}.d_input"), (rows * features) as usize);
        b.step(
            lstm::input_gradient::Params { rows, features, units },
            lstm::input_gradient::Tensors { d_gates, weight_ih, d_x },
        );
        d_x
    }
}

impl Stack {
    /// Appends the forward pass; the last layer's final states go into columns of the summary, which
    /// `columns` gives as its width and the first column.
    pub fn forward(
        b: &mut Builder<'_>,
        mut x: Sequence<'_>,
        units: &[usize],
        summary: TensorId,
        columns: [u32; 2],
    ) -> Self {
        let mut layers = Vec::new();
        for (index, &units) in units.iter().enumerate() {
            let layer = Layer::forward(b, format!("{}.lstm{index}", x.owner), x, units as u32);
            (x.x, x.features) = (layer.hidden, 2 * layer.units);
            layers.push(layer);
        }
        let ([first, clips], [width, offset]) = (x.clips, columns);
        b.step(
            lstm::last_state::Params {
                batch: clips,
                steps: x.steps,
                units: x.features / 2,
                rows: b.batch,
                first,
                width,
                offset,
            },
            lstm::last_state::Tensors { hidden: x.x, features: summary },
        );
        Self { layers, clips: x.clips, columns }
    }

    /// Appends the backward pass from the gradient to the summary, but for the gradient to the
    /// sequence. Gradients of weights are written, or with `adds` added to what is there.
    ///
    /// Returns the gradient to the first layer's gates.
    pub fn backward(&self, b: &mut Builder<'_>, d_summary: TensorId, adds: bool) -> TensorId {
        let last = &self.layers[self.layers.len() - 1];
        let ([first, batch], [width, offset]) = (self.clips, self.columns);
        let (steps, units) = (last.steps, last.units);
        let length = (2 * batch * steps * units) as usize;
        let mut d = b.plan.scratch(format!("{}.d_hidden", last.name), length);
        let rows = b.batch;
        b.step(
            lstm::last_state_gradient::Params { batch, steps, units, rows, first, width, offset },
            lstm::last_state_gradient::Tensors { d_features: d_summary, d_hidden: d },
        );
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let d_gates = layer.backward(b, d, adds);
            if index == 0 {
                return d_gates;
            }
            d = layer.input_gradient(b, d_gates);
        }
        unreachable!("a stack has a layer")
    }

    /// Appends the gradient to the sequence, from what [`Self::backward`] returned.
    pub fn input_gradient(&self, b: &mut Builder<'_>, d_gates: TensorId) -> TensorId {
        self.layers[0].input_gradient(b, d_gates)
    }
}
