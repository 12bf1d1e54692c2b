//! The references against central finite differences in f64, and split walks against whole ones.

use rand::{RngExt, SeedableRng};

use super::*;
use crate::kernels::Kernel;

const BATCH: u32 = 3;
const STEPS: u32 = 5;
const FEATURES: u32 = 4;
const UNITS: u32 = 3;
const ROWS: u32 = BATCH * STEPS;
const WIDTH: u32 = 8;
const OFFSET: u32 = 1;

/// Input and parameters of one layer.
#[derive(Clone)]
struct Layer {
    x: Vec<f64>,
    weight_ih: Vec<f64>,
    weight_hh: Vec<f64>,
    bias: Vec<f64>,
}

impl Layer {
    fn draw() -> Self {
        Self {
            x: uniform(ROWS * FEATURES, 1),
            weight_ih: uniform(8 * UNITS * FEATURES, 2),
            weight_hh: uniform(8 * UNITS * UNITS, 3),
            bias: uniform(8 * UNITS, 4),
        }
    }

    fn members(&mut self) -> [&mut Vec<f64>; 4] {
        [&mut self.x, &mut self.weight_ih, &mut self.weight_hh, &mut self.bias]
    }
}

/// What the forward pass leaves behind.
struct Walked {
    gates: Vec<f64>,
    cells: Vec<f64>,
    hidden: Vec<f64>,
}

fn uniform(length: u32, seed: u64) -> Vec<f64> {
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    (0..length).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn packed(weight: &[f64], inputs: u32) -> Vec<f64> {
    packing(UNITS, inputs).into_iter().map(|at| weight[at as usize]).collect()
}

/// Walks in launches that end at each of `ends`.
fn forward(layer: &Layer, ends: &[u32]) -> Walked {
    let states = 2 * ROWS as usize * UNITS as usize;
    let mut walked = Walked {
        gates: vec![0.0; 4 * states],
        cells: vec![0.0; states],
        hidden: vec![0.0; states],
    };
    input_product::Params { rows: ROWS, features: FEATURES, units: UNITS }.reference(
        input_product::Slices {
            x: &layer.x,
            packed_ih: &packed(&layer.weight_ih, FEATURES),
            bias: &layer.bias,
            gates: &mut walked.gates,
        },
    );
    let mut begin = 0;
    for &end in ends {
        recurrence_forward::Params { batch: BATCH, steps: STEPS, units: UNITS, begin, end }
            .reference(recurrence_forward::Slices {
                packed_hh: &packed(&layer.weight_hh, UNITS),
                gates: &mut walked.gates,
                cells: &mut walked.cells,
                hidden: &mut walked.hidden,
            });
        begin = end;
    }
    walked
}

/// Walks back in launches that begin at each of `begins`.
fn d_gates(layer: &Layer, walked: &Walked, d_hidden: &[f64], begins: &[u32]) -> Vec<f64> {
    let mut d_gates = vec![f64::NAN; walked.gates.len()];
    let mut carry = vec![f64::NAN; 2 * BATCH as usize * UNITS as usize];
    let mut end = STEPS;
    for &begin in begins {
        recurrence_backward::Params { batch: BATCH, steps: STEPS, units: UNITS, begin, end }
            .reference(recurrence_backward::Slices {
                weight_hh: &layer.weight_hh,
                gates: &walked.gates,
                cells: &walked.cells,
                d_hidden,
                carry: &mut carry,
                d_gates: &mut d_gates,
            });
        end = begin;
    }
    d_gates
}

/// The gradient of Σ d_hidden · hidden to the layer's input and parameters.
fn backward(layer: &Layer, d_hidden: &[f64]) -> Layer {
    let walked = forward(layer, &[STEPS]);
    let d_gates = d_gates(layer, &walked, d_hidden, &[0]);
    let mut gradient = layer.clone();
    for member in gradient.members() {
        member.fill(f64::NAN);
    }
    weight_gradient::Params { rows: ROWS, features: FEATURES, units: UNITS }.reference(
        weight_gradient::Slices {
            d_gates: &d_gates,
            x: &layer.x,
            d_weight_ih: &mut gradient.weight_ih,
            d_bias: &mut gradient.bias,
        },
    );
    recurrent_gradient::Params { batch: BATCH, steps: STEPS, units: UNITS }.reference(
        recurrent_gradient::Slices {
            d_gates: &d_gates,
            hidden: &walked.hidden,
            d_weight_hh: &mut gradient.weight_hh,
        },
    );
    input_gradient::Params { rows: ROWS, features: FEATURES, units: UNITS }.reference(
        input_gradient::Slices {
            d_gates: &d_gates,
            weight_ih: &layer.weight_ih,
            d_x: &mut gradient.x,
        },
    );
    gradient
}

/// Compares `gradient` with central differences of `loss`.
fn check(mut gradient: Layer, loss: impl Fn(&Layer) -> f64) {
    const DELTA: f64 = 1e-5;
    let mut layer = Layer::draw();
    for (index, name) in ["x", "weight_ih", "weight_hh", "bias"].iter().enumerate() {
        let (mut square, mut norm) = (0.0, 0.0);
        for element in 0..layer.members()[index].len() {
            let value = layer.members()[index][element];
            layer.members()[index][element] = value + DELTA;
            let above = loss(&layer);
            layer.members()[index][element] = value - DELTA;
            let below = loss(&layer);
            layer.members()[index][element] = value;
            let difference = (above - below) / (2.0 * DELTA);
            square += (gradient.members()[index][element] - difference).powi(2);
            norm += difference * difference;
        }
        let error = (square / norm).sqrt();
        assert!(error < 1e-6, "{name}: {error:.1e}");
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn gradients_of_the_whole_sequence_match_finite_differences() {
    let d_hidden = uniform(2 * ROWS * UNITS, 5);
    let gradient = backward(&Layer::draw(), &d_hidden);
    check(gradient, |layer| dot(&forward(layer, &[STEPS]).hidden, &d_hidden));
}

#[test]
fn gradients_of_the_last_states_match_finite_differences() {
    let d_features = uniform(BATCH * WIDTH, 6);
    let mut d_hidden = vec![f64::NAN; 2 * ROWS as usize * UNITS as usize];
    let [batch, steps, units, width, offset] = [BATCH, STEPS, UNITS, WIDTH, OFFSET];
    last_state_gradient::Params { batch, steps, units, rows: batch, first: 0, width, offset }
        .reference(last_state_gradient::Slices {
            d_features: &d_features,
            d_hidden: &mut d_hidden,
        });
    let gradient = backward(&Layer::draw(), &d_hidden);
    check(gradient, |layer| {
        let mut features = vec![0.0; d_features.len()];
        last_state::Params { batch, steps, units, rows: batch, first: 0, width, offset }.reference(
            last_state::Slices {
                hidden: &forward(layer, &[STEPS]).hidden,
                features: &mut features,
            },
        );
        dot(&features, &d_features)
    });
}

#[test]
fn a_split_walk_equals_a_whole_one() {
    let layer = Layer::draw();
    let whole = forward(&layer, &[STEPS]);
    let split = forward(&layer, &[1, 3, STEPS]);
    assert_eq!(whole.gates, split.gates);
    assert_eq!(whole.cells, split.cells);
    assert_eq!(whole.hidden, split.hidden);

    let d_hidden = uniform(2 * ROWS * UNITS, 7);
    assert_eq!(
        d_gates(&layer, &whole, &d_hidden, &[0]),
        d_gates(&layer, &whole, &d_hidden, &[4, 2, 0]),
    );
}
