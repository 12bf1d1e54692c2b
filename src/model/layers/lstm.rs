//! A bidirectional LSTM, which returns the sequence of its states or only the last of each direction.
//!
//! The gates of 1292 steps are the largest tensors of all. Clips don't meet in a recurrence, so the
//! layer works on each part of a batch that its sequence comes in (see
//! [`Frames`](super::Frames)) and adds the parts' gradients up.

use super::{Init, Layer, Parameter, Pullback, Shape};
use crate::kernels::layers::lstm;
use crate::model::onnx::{Attribute, Export};
use crate::model::packing::Packed;
use crate::model::planning::{Builder, Columns, Gradient, Part, Value};
use crate::plan::TensorId;

/// What an LSTM returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// Both directions' states at every step.
    Sequence,
    /// The last state forward, and the last backward: its state at step 0.
    LastStates,
}

/// An LSTM in both directions.
#[derive(Debug)]
pub struct Lstm {
    name: String,
    steps: u32,
    features: u32,
    /// Units of one direction.
    units: u32,
    returns: Returns,
}

/// What the backward pass needs of a part of the batch.
#[derive(Clone, Copy)]
struct Walked {
    /// The first clip and how many.
    clips: [u32; 2],
    input: TensorId,
    gates: TensorId,
    cells: TensorId,
    hidden: TensorId,
}

impl Lstm {
    /// An LSTM on a sequence of this shape.
    pub fn new(name: String, input: Shape, units: usize, returns: Returns) -> Self {
        let [steps, features] = input.sequence().map(|n| n as u32);
        Self { name, steps, features, units: units as u32, returns }
    }

    fn tensor(&self, what: &str) -> String {
        format!("{}.{what}", self.name)
    }

    /// The launches of a walk over all steps, as [begin, end) of each: equal shares, so that none
    /// is there for the few steps that are left.
    fn launches(&self, b: &Builder<'_>) -> impl DoubleEndedIterator<Item = [u32; 2]> + use<> {
        let &Self { steps, units, .. } = self;
        let count = steps.div_ceil((b.limits.launch / units).max(1));
        let edge = move |i| (u64::from(steps) * u64::from(i) / u64::from(count)) as u32;
        (0..count).map(move |i| [edge(i), edge(i + 1)])
    }

    fn forward(&self, b: &mut Builder<'_>, Part { clips, tensor: input }: Part) -> Walked {
        let &Self { steps, features, units, .. } = self;
        let [packed_ih, packed_hh] =
            ["packed_ih", "packed_hh"].map(|what| b.packed(&self.name, what));
        let rows = clips[1] * steps;
        let walk = 2 * rows * units;
        let bias = b.parameter(&self.name, "bias_ih_l0");
        let gates = b.scratch(&self.name, "gates", 4 * walk);
        b.step(
            lstm::input_product::Params { rows, features, units },
            lstm::input_product::Tensors { x: input, packed_ih, bias, gates },
        );
        let cells = b.scratch(&self.name, "cells", walk);
        let hidden = b.scratch(&self.name, "hidden", walk);
        for [begin, end] in self.launches(b) {
            b.step(
                lstm::recurrence_forward::Params { batch: clips[1], steps, units, begin, end },
                lstm::recurrence_forward::Tensors { packed_hh, gates, cells, hidden },
            );
        }
        Walked { clips, input, gates, cells, hidden }
    }

    /// A part's last states among those of the batch.
    fn states(&self, b: &Builder<'_>, part: Walked, columns: Columns) -> lstm::LastStates {
        let &Self { steps, units, .. } = self;
        let ([first, batch], Columns { width, first: offset, .. }) = (part.clips, columns);
        lstm::LastStates { batch, steps, units, rows: b.batch, first, width, offset }
    }

    /// Writes a part's last states into their rows.
    fn last_states(&self, b: &mut Builder<'_>, part: Walked, to: Columns) {
        let states = self.states(b, part, to);
        b.step(
            lstm::last_state::Params { states },
            lstm::last_state::Tensors { hidden: part.hidden, features: to.tensor },
        );
    }

    /// The gradient to a part's states, from that to the last ones.
    fn last_states_gradient(
        &self,
        b: &mut Builder<'_>,
        part: Walked,
        d_features: TensorId,
        columns: Columns,
    ) -> TensorId {
        let states = self.states(b, part, columns);
        let length = 2 * states.batch * self.steps * self.units;
        let d_hidden = b.scratch(&self.name, "d_hidden", length);
        b.step(
            lstm::last_state_gradient::Params { states },
            lstm::last_state_gradient::Tensors { d_features, d_hidden },
        );
        d_hidden
    }

    /// Appends a part's backward walk and the gradients to the weights, which with `adds` are added
    /// to those of the parts before; returns the gradient to the gates.
    fn backward(
        &self,
        b: &mut Builder<'_>,
        part: Walked,
        d_hidden: TensorId,
        adds: bool,
    ) -> TensorId {
        let &Self { steps, features, units, .. } = self;
        let Walked { clips: [_, batch], input: x, gates, cells, hidden } = part;
        let rows = batch * steps;
        let weight_hh = b.parameter(&self.name, "weight_hh_l0");
        let d_gates = b.scratch(&self.name, "d_gates", 8 * rows * units);
        let carry = b.scratch(&self.name, "carry", 2 * batch * units);
        for [begin, end] in self.launches(b).rev() {
            b.step(
                lstm::recurrence_backward::Params { batch, steps, units, begin, end },
                lstm::recurrence_backward::Tensors {
                    weight_hh,
                    gates,
                    cells,
                    d_hidden,
                    carry,
                    d_gates,
                },
            );
        }
        let [d_ih, d_bias, d_hh] =
            ["weight_ih_l0", "bias_ih_l0", "weight_hh_l0"].map(|what| b.gradient(&self.name, what));
        let of_inputs = lstm::weight_gradient::Params { rows, features, units };
        let of_hidden = lstm::recurrent_gradient::Params { batch, steps, units };
        let shares = [b.plan.shares(of_inputs), b.plan.shares(of_hidden)];
        b.gradients_of_part([d_ih, d_bias, d_hh], adds, |b, whole| {
            let sum = lstm::weight_gradient_reduce::Params::new(features, units, shares);
            let partial = match shares {
                [1, 1] => whole,
                [ih, hh] => {
                    [("ih", ih * sum.inputs), ("bias", ih * sum.biases), ("hh", hh * sum.recurrent)]
                        .map(|(what, length)| {
                            b.scratch(&self.name, &format!("{what} shares"), length)
                        })
                }
            };
            let [d_weight_ih, d_bias, d_weight_hh] = partial;
            b.step(of_inputs, lstm::weight_gradient::Tensors { d_gates, x, d_weight_ih, d_bias });
            b.step(of_hidden, lstm::recurrent_gradient::Tensors { d_gates, hidden, d_weight_hh });
            if shares != [1, 1] {
                let [ih_partial, bias_partial, hh_partial] = partial;
                let [d_weight_ih, d_bias, d_weight_hh] = whole;
                b.step(
                    sum,
                    lstm::weight_gradient_reduce::Tensors {
                        ih_partial,
                        bias_partial,
                        hh_partial,
                        d_weight_ih,
                        d_bias,
                        d_weight_hh,
                    },
                );
            }
        });
        d_gates
    }

    fn input_gradient(&self, b: &mut Builder<'_>, part: Walked, d_gates: TensorId) -> TensorId {
        let &Self { steps, features, units, .. } = self;
        let rows = part.clips[1] * steps;
        let weight_ih = b.parameter(&self.name, "weight_ih_l0");
        let d_x = b.scratch(&self.name, "d_input", rows * features);
        b.step(
            lstm::input_gradient::Params { rows, features, units },
            lstm::input_gradient::Tensors { d_gates, weight_ih, d_x },
        );
        d_x
    }

    /// W [2, 4 · units, features], R [2, 4 · units, units] and B [2, 8 · units] of both directions.
    fn export_weights(&self, onnx: &mut Export<'_>) -> [String; 3] {
        let (units, features) = (self.units as usize, self.features as usize);
        let mut joined = [Vec::new(), Vec::new(), Vec::new()];
        for direction in ["", "_reverse"] {
            for (kind, joined) in ["weight_ih", "weight_hh", "bias_ih"].iter().zip(&mut joined) {
                let values = onnx.take(&self.tensor(&format!("{kind}_l0{direction}"))).values;
                let gates: Vec<&[f32]> = values.chunks(values.len() / 4).collect();
                // i, f, g, o → i, o, f, c
                joined.extend([0, 3, 1, 2].into_iter().flat_map(|gate| gates[gate]).copied());
            }
            // The recurrence has no bias of its own.
            joined[2].resize(joined[2].len() + 4 * units, 0.0);
        }
        let [w, r, b] = joined;
        [
            onnx.graph.floats(&self.tensor("W"), &[2, 4 * units, features], &w),
            onnx.graph.floats(&self.tensor("R"), &[2, 4 * units, units], &r),
            onnx.graph.floats(&self.tensor("B"), &[2, 8 * units], &b),
        ]
    }
}

impl Layer for Lstm {
    fn name(&self) -> &str {
        &self.name
    }

    fn output(&self) -> Shape {
        let (steps, features) = (self.steps as usize, 2 * self.units as usize);
        match self.returns {
            Returns::Sequence => Shape::Sequence { steps, features },
            Returns::LastStates => Shape::Vector(features),
        }
    }

    /// Both directions of one kind lie side by side, so that kernels bind them as one.
    fn parameters(&self) -> Vec<Parameter> {
        let (units, features) = (self.units as usize, self.features as usize);
        let gates = 4 * units;
        let glorot = Init::GlorotUniform { fan_in: features, fan_out: gates };
        let kinds = [
            ("weight_ih_l0", &[gates, features][..], glorot),
            ("weight_hh_l0", &[gates, units], Init::Orthogonal),
            ("bias_ih_l0", &[gates], Init::ForgetBias),
        ];
        let both = kinds.into_iter().flat_map(|(what, shape, init)| {
            ["", "_reverse"].map(|direction| {
                Parameter::new(&self.name, &format!("{what}{direction}"), shape, init)
            })
        });
        both.collect()
    }

    /// Four gates of each unit in both directions, at each step.
    fn largest(&self) -> usize {
        8 * self.units as usize * self.steps as usize
    }

    fn packing(&self, _backward: bool) -> Vec<Packed> {
        let packed = |(what, parameter, inputs)| Packed {
            owner: self.name.clone(),
            what,
            parameter,
            places: lstm::packing(self.units, inputs),
        };
        let [ih, hh] = ["weight_ih_l0", "weight_hh_l0"];
        vec![packed(("packed_ih", ih, self.features)), packed(("packed_hh", hh, self.units))]
    }

    fn plan<'a>(&'a self, b: &mut Builder<'a>, inputs: &[Value]) -> (Value, Pullback<'a>) {
        let parts = inputs[0].sequence();
        let walked: Vec<_> = parts.iter().map(|&part| self.forward(b, part)).collect();
        let (value, columns) = match self.returns {
            Returns::Sequence => {
                let states = |part: &Walked| Part { clips: part.clips, tensor: part.hidden };
                (Value::Sequence(walked.iter().map(states).collect()), None)
            }
            Returns::LastStates => {
                let columns = b.vector(&self.tensor("last"), 2 * self.units);
                for &part in &walked {
                    self.last_states(b, part, columns);
                }
                (Value::Vector(columns), Some(columns))
            }
        };
        let wanted = b.trains_below();
        let pullback: Pullback<'a> = Box::new(move |b, d| {
            let mut d_input = Gradient::default();
            for (index, &part) in walked.iter().enumerate() {
                let d_hidden = match columns {
                    None => d.part(index),
                    Some(columns) => self.last_states_gradient(b, part, d.whole(), columns),
                };
                let d_gates = self.backward(b, part, d_hidden, index > 0);
                if wanted {
                    d_input.push(self.input_gradient(b, part, d_gates));
                }
            }
            vec![d_input]
        });
        (value, pullback)
    }

    fn export(&self, onnx: &mut Export<'_>, inputs: &[String]) -> String {
        let name = &self.name;
        let [w, r, b] = self.export_weights(onnx);
        let settings = vec![
            ("direction", Attribute::Text("bidirectional")),
            ("hidden_size", Attribute::Int(i64::from(self.units))),
        ];
        let (states, ends) = (self.tensor("states"), self.tensor("ends"));
        let (output, outputs, order, shape) = match self.returns {
            // [2, batch, units] → [batch, 2 · units]
            Returns::LastStates => (&ends, vec!["", &ends], vec![1, 0, 2], vec![0, -1]),
            // [steps, 2, batch, units] → [steps, batch, 2 · units]
            Returns::Sequence => (&states, vec![&*states], vec![0, 2, 1, 3], vec![0, 0, -1]),
        };
        onnx.graph.nodes(name, "LSTM", &[&inputs[0], &w, &r, &b], &outputs, settings);
        let order = vec![("perm", Attribute::Ints(order))];
        let turned = onnx.graph.node(&self.tensor("turned"), "Transpose", &[output], order);
        let joined = onnx.graph.integers(&self.tensor("shape"), &[shape.len()], &shape);
        onnx.graph.node(&self.tensor("output"), "Reshape", &[&turned, &joined], vec![])
    }

    fn operations(&self) -> Vec<String> {
        let returned = match self.returns {
            Returns::Sequence => "sequence",
            Returns::LastStates => "last states",
        };
        vec![format!("bidirectional LSTM {}", self.units), returned.to_owned()]
    }
}
