//! Each layer against PyTorch, as the chain of kernels that a plan makes of it: on the adapter, and
//! as the CPU references. tests/fixtures/torch_layers.py says what was computed.

mod support;

use std::collections::HashMap;

use moodshader::exec::verification::{Expected, reference};
use moodshader::kernels::features::Spectrograms;
use moodshader::kernels::layers::conv::{
    Footprint, Lines, entry_backward, entry_forward, entry_reduce, input_gradient, weight_gradient,
    weight_gradient_reduce,
};
use moodshader::kernels::layers::{batch_norm, conv, lstm, pack, pool};
use moodshader::kernels::loss::softmax_bce;
use moodshader::kernels::optim::adam;
use moodshader::kernels::verify::Values;
use moodshader::kernels::{Facts, Kernel, Launch};
use moodshader::plan::STATUS_CLEAR;
use safetensors::SafeTensors;
use support::relative;

/// f32 against f64 through chains of a few short sums.
const TOLERANCE: f64 = 2e-6;

/// One layer's tensors.
struct Fixture {
    group: &'static str,
    tensors: HashMap<String, Vec<f32>>,
}

impl Fixture {
    fn new(group: &'static str) -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/torch_layers.safetensors");
        let bytes = std::fs::read(path).expect("the fixture is in the repository");
        let tensors = SafeTensors::deserialize(&bytes).expect("the fixture is valid");
        let tensors = tensors
            .tensors()
            .into_iter()
            .filter_map(|(name, view)| {
                let name = name.strip_prefix(group)?.strip_prefix('.')?.to_owned();
                Some((name, bytemuck::pod_collect_to_vec(view.data())))
            })
            .collect();
        Self { group, tensors }
    }

    fn get(&self, name: &str) -> &[f32] {
        self.tensors.get(name).unwrap_or_else(|| panic!("{} has no {name}", self.group))
    }

    /// Compares with the tensor of this name.
    fn check(&self, on: On, name: &str, got: &[f32]) {
        let want = self.get(name);
        assert_eq!(got.len(), want.len(), "{}.{name}", self.group);
        let error = relative(got, want);
        assert!(error < TOLERANCE, "{}.{name}, {on:?}: {error:.1e}", self.group);
    }
}

/// Where the kernels run.
#[derive(Clone, Copy, Debug)]
enum On {
    Gpu,
    References,
}

const BOTH: [On; 2] = [On::Gpu, On::References];

/// What a launch left in its tensors, by name.
struct Left(HashMap<&'static str, Values>);

impl Left {
    fn get(&self, name: &str) -> &[f32] {
        match &self.0[name] {
            Values::F32(values) => values,
            Values::U32(_) => panic!("{name} holds words"),
        }
    }
}

fn numbers(values: &[f32]) -> Values {
    Values::F32(values.to_vec())
}

impl On {
    fn launch<K: Kernel>(self, kernel: &K) -> Launch {
        let facts = match self {
            Self::Gpu => support::gpu().facts(),
            Self::References => &Facts::PORTABLE,
        };
        Launch::new(*kernel, facts)
    }

    /// How many shares a kernel leaves; references leave their sum.
    fn shares<K: Kernel>(self, kernel: &K) -> u32 {
        match self {
            Self::Gpu => self.launch(kernel).grid.shares,
            Self::References => 1,
        }
    }

    /// Launches a kernel over the given tensors; those not named are written only and begin as NaN.
    fn run<K: Kernel>(self, kernel: &K, given: &[(&str, Values)]) -> Left {
        let launch = &self.launch(kernel);
        let lengths = launch.lengths();
        let tensors: Vec<Values> = K::BINDINGS
            .iter()
            .zip(lengths)
            .map(|(binding, length)| {
                let found = given.iter().find(|(name, _)| *name == binding.name);
                let blank = || Values::F32(vec![f32::NAN; length]);
                let values = found.map_or_else(blank, |(_, values)| values.clone());
                assert_eq!(values.bytes().len(), 4 * length, "{}: {}", K::ID, binding.name);
                values
            })
            .collect();
        let left = match self {
            Self::Gpu => support::gpu().launch_once(launch, &tensors).expect("the kernel runs"),
            Self::References => reference(launch, &tensors)
                .into_iter()
                .map(|tensor| match tensor {
                    Expected::Numbers(values) => {
                        Values::F32(values.into_iter().map(|x| x as f32).collect())
                    }
                    Expected::Words(words) => Values::U32(words),
                })
                .collect(),
        };
        Left(K::BINDINGS.iter().map(|binding| binding.name).zip(left).collect())
    }

    /// A layer's weights in the order of its packing table.
    fn packed(self, weights: &[f32], table: &[u32]) -> Vec<f32> {
        let (elements, table) = (table.len(), ("table", Values::U32(table.to_vec())));
        let params = pack::Params::new(weights.len(), elements);
        self.run(&params, &[("parameters", numbers(weights)), table]).get("packed").to_vec()
    }
}

/// [clip, channel, plane] as quads, [clip, channel/4, plane, 4]; channels past the last are zero.
fn quads(values: &[f32], channels: usize, plane: usize) -> Vec<f32> {
    let padded = channels.next_multiple_of(4);
    let clips = values.len() / (channels * plane);
    let mut to = vec![0.0; clips * padded * plane];
    for (at, &x) in values.iter().enumerate() {
        let (n, c, p) = (at / plane / channels, at / plane % channels, at % plane);
        to[((n * padded / 4 + c / 4) * plane + p) * 4 + c % 4] = x;
    }
    to
}

/// The way back.
fn planar(values: &[f32], channels: usize, plane: usize) -> Vec<f32> {
    let padded = channels.next_multiple_of(4);
    let clips = values.len() / (padded * plane);
    (0..clips * channels * plane)
        .map(|at| {
            let (n, c, p) = (at / plane / channels, at / plane % channels, at % plane);
            values[((n * padded / 4 + c / 4) * plane + p) * 4 + c % 4]
        })
        .collect()
}

/// The gradient through a ReLU that left `output`.
fn through_relu(d_output: &[f32], output: &[f32]) -> Vec<f32> {
    let pass = |(&d, &y): (&f32, &f32)| if y > 0.0 { d } else { 0.0 };
    d_output.iter().zip(output).map(pass).collect()
}

fn convolution(group: &'static str, kernel: [u32; 2], channels: [u32; 2], plane: [u32; 2]) {
    const CLIPS: u32 = 2;
    let fixture = Fixture::new(group);
    let [ins, outs] = channels.map(|n| n as usize);
    let lines = Lines::new(kernel, plane[0], plane[1]);
    let footprint = Footprint::new(kernel, lines);
    let positions = (plane[0] * plane[1]) as usize;
    let input = quads(fixture.get("input"), ins, positions);
    let affine =
        [quads(fixture.get("scale"), ins, 1), quads(fixture.get("shift"), ins, 1)].concat();
    let d_output = through_relu(fixture.get("d_output"), fixture.get("output"));
    let d_output = quads(&d_output, outs, positions);
    for on in BOTH {
        let [forward, reversed] = conv::packing(channels, footprint)
            .map(|table| on.packed(fixture.get("weight"), &table));
        let launches = conv::forward::Params::launches(CLIPS, channels, lines, footprint);
        let [launch] = launches[..] else { panic!("a small convolution is one launch") };
        let lengths = Kernel::lengths(&launch);
        let left = on.run(
            &launch,
            &[
                ("input", numbers(&input)),
                ("affine", numbers(&affine)),
                ("weight", numbers(&forward)),
                ("bias", numbers(fixture.get("bias"))),
                ("pivot", numbers(&vec![0.5; outs])),
                ("output", numbers(&vec![f32::NAN; lengths.output])),
            ],
        );
        fixture.check(on, "output", &planar(left.get("output"), outs, positions));

        let launches = input_gradient::Params::launches(CLIPS, channels, lines, footprint);
        let [launch] = launches[..] else { panic!("a small convolution is one launch") };
        let left = on.run(
            &launch,
            &[
                ("d_output", numbers(&d_output)),
                ("weight", numbers(&reversed)),
                ("d_input", numbers(&vec![f32::NAN; input.len()])),
            ],
        );
        fixture.check(on, "d_input", &planar(left.get("d_input"), ins, positions));

        let gradient = weight_gradient::Params::new(CLIPS, channels, lines, footprint);
        let left = on.run(
            &gradient,
            &[
                ("d_output", numbers(&d_output)),
                ("input", numbers(&input)),
                ("affine", numbers(&affine)),
            ],
        );
        let left = on.run(
            &weight_gradient_reduce::Params::new(channels, footprint, on.shares(&gradient)),
            &[
                ("partial", numbers(left.get("partial"))),
                ("bias_partial", numbers(left.get("bias_partial"))),
            ],
        );
        fixture.check(on, "d_weight", left.get("d_weight"));
        fixture.check(on, "d_bias", left.get("d_bias"));
    }
}

#[test]
fn convolution_over_time() {
    convolution("conv.time", [1, 5], [5, 7], [3, 21]);
}

#[test]
fn convolution_over_frequency() {
    convolution("conv.frequency", [7, 1], [3, 6], [11, 4]);
}

#[test]
fn convolution_over_both() {
    convolution("conv.both", [3, 5], [6, 5], [4, 9]);
}

const CHANNELS: u32 = 6;
const WINDOW: [u32; 2] = [2, 3];

/// Batch norm around a max pool: what `norm` and `entry` of the fixture share.
struct Norm {
    fixture: Fixture,
    clips: u32,
    plane: [u32; 2],
}

impl Norm {
    fn elements(&self) -> f64 {
        f64::from(self.clips * self.plane[0] * self.plane[1])
    }

    fn pooled_positions(&self) -> u32 {
        self.plane[0] / WINDOW[0] * (self.plane[1] / WINDOW[1])
    }

    /// Scale and shift, by channel of the quads, of values in quads.
    fn apply(affine: &[f32], values: &[f32], plane: usize) -> Vec<f32> {
        let padded = affine.len() / 2;
        let channel = |at: usize| at / (4 * plane) % (padded / 4) * 4 + at % 4;
        let one = |(at, x): (usize, &f32)| affine[channel(at)] * x + affine[padded + channel(at)];
        values.iter().enumerate().map(one).collect()
    }

    /// From partial sums and the pooled activation to the output; returns the moments.
    fn forward(&self, on: On, partial: &[f32], shares: u32, pooled: &[f32]) -> Vec<f32> {
        let get = |name| numbers(self.fixture.get(name));
        let left = on.run(
            &batch_norm::statistics::Params::new(CHANNELS, shares, self.elements()),
            &[
                ("partial", numbers(partial)),
                ("gamma", get("gamma")),
                ("beta", get("beta")),
                ("running_mean", get("running_mean")),
                ("running_var", get("running_var")),
            ],
        );
        self.fixture.check(on, "after_running_mean", left.get("running_mean"));
        self.fixture.check(on, "after_running_var", left.get("running_var"));
        let positions = self.pooled_positions() as usize;
        let output = Self::apply(left.get("affine"), pooled, positions);
        self.fixture.check(on, "output", &planar(&output, CHANNELS as usize, positions));
        left.get("moments").to_vec()
    }

    /// From the gradient to the output to the terms that the backward kernels need.
    fn backward(&self, on: On, moments: &[f32], pooled: &[f32]) -> Vec<f32> {
        let (clips, plane) = (self.clips, self.pooled_positions());
        let sums = batch_norm::gradient_sums::Params { clips, quads: CHANNELS.div_ceil(4), plane };
        let left = on.run(
            &sums,
            &[
                ("d_output", numbers(&self.d_output())),
                ("pooled", numbers(pooled)),
                ("moments", numbers(moments)),
            ],
        );
        let (shares, elements) = (on.shares(&sums), self.elements() as f32);
        let left = on.run(
            &batch_norm::gradient_reduce::Params { channels: CHANNELS, shares, elements },
            &[("partial", numbers(left.get("partial")))],
        );
        self.fixture.check(on, "d_gamma", left.get("d_gamma"));
        self.fixture.check(on, "d_beta", left.get("d_beta"));
        left.get("terms").to_vec()
    }

    fn d_output(&self) -> Vec<f32> {
        let positions = self.pooled_positions() as usize;
        quads(self.fixture.get("d_output"), CHANNELS as usize, positions)
    }
}

#[test]
fn batch_norm_and_max_pool() {
    let norm = Norm { fixture: Fixture::new("norm"), clips: 2, plane: [5, 8] };
    let fixture = &norm.fixture;
    let channels = CHANNELS as usize;
    let [bands, steps] = norm.plane;
    let positions = (bands * steps) as usize;
    let z = fixture.get("z");
    let activation: Vec<f32> = z.iter().map(|&z| z.max(0.0)).collect();
    let activation = quads(&activation, channels, positions);
    // The convolution's part: sums around the running mean, in one row.
    let pivot = fixture.get("running_mean");
    let mut partial = vec![0.0; 2 * channels.next_multiple_of(4)];
    for (at, &z) in z.iter().enumerate() {
        let c = at / positions % channels;
        let x = z.max(0.0) - pivot[c];
        partial[c / 4 * 8 + c % 4] += x;
        partial[c / 4 * 8 + 4 + c % 4] += x * x;
    }
    for on in BOTH {
        let windows = pool::Windows::new(norm.plane, WINDOW);
        let batch = norm.clips;
        let left = on.run(
            &pool::forward::Params { batch, channels: CHANNELS, windows },
            &[("input", numbers(&activation)), ("gamma", numbers(fixture.get("gamma")))],
        );
        let pooled = left.get("output");
        let moments = norm.forward(on, &partial, 1, pooled);
        let terms = norm.backward(on, &moments, pooled);
        let quads = CHANNELS.div_ceil(4);
        let left = on.run(
            &batch_norm::backward::Params { batch, quads, windows },
            &[
                ("d_output", numbers(&norm.d_output())),
                ("pooled", numbers(pooled)),
                ("moments", numbers(&moments)),
                ("terms", numbers(&terms)),
                ("activation", numbers(&activation)),
            ],
        );
        fixture.check(on, "d_z", &planar(left.get("activation"), channels, positions));
    }
}

#[test]
fn batch_norm_with_running_statistics() {
    let fixture = Fixture::new("norm");
    let activation: Vec<f32> = fixture.get("z").iter().map(|&z| z.max(0.0)).collect();
    let channels = CHANNELS as usize;
    let positions = 5 * 8;
    for on in BOTH {
        let names = ["gamma", "beta", "running_mean", "running_var"];
        let left = on.run(
            &batch_norm::inference::Params::new(CHANNELS),
            &names.map(|name| (name, numbers(fixture.get(name)))),
        );
        let activation = quads(&activation, channels, positions);
        let output = Norm::apply(left.get("affine"), &activation, positions);
        fixture.check(on, "eval", &planar(&output, channels, positions));
    }
}

#[test]
fn first_block() {
    let norm = Norm { fixture: Fixture::new("entry"), clips: 3, plane: [5, 13] };
    let fixture = &norm.fixture;
    let get = |name| numbers(fixture.get(name));
    let [bands, steps] = norm.plane;
    let lines = Lines::new([1, 5], bands, steps);
    let input = Spectrograms { mean: 0.0, inverse_deviation: 1.0 };
    let entry = conv::Entry::new(norm.clips, input, CHANNELS, lines, 5, WINDOW);
    for on in BOTH {
        let forward = entry_forward::Params { entry };
        let code = Values::U32(vec![u32::MAX; Kernel::lengths(&forward).code]);
        let left = on.run(
            &forward,
            &[
                ("input", get("input")),
                ("weight", get("weight")),
                ("bias", get("bias")),
                ("gamma", get("gamma")),
                ("pivot", get("running_mean")),
                ("code", code),
            ],
        );
        let pooled = left.get("pooled");
        let moments = norm.forward(on, left.get("partial"), on.shares(&forward), pooled);
        let terms = norm.backward(on, &moments, pooled);
        let backward = entry_backward::Params { entry };
        let left = on.run(
            &backward,
            &[
                ("input", get("input")),
                ("weight", get("weight")),
                ("bias", get("bias")),
                ("d_output", numbers(&norm.d_output())),
                ("code", left.0["code"].clone()),
                ("moments", numbers(&moments)),
                ("terms", numbers(&terms)),
            ],
        );
        let shares = on.shares(&backward);
        let left = on.run(
            &entry_reduce::Params { out_channels: CHANNELS, taps: 5, shares },
            &[("partial", numbers(left.get("partial")))],
        );
        fixture.check(on, "d_weight", left.get("d_weight"));
        fixture.check(on, "d_bias", left.get("d_bias"));
    }
}

const CLIPS: u32 = 3;
const STEPS: u32 = 6;
const FEATURES: u32 = 5;
const UNITS: u32 = 3;

/// The gradients of an LSTM to its input and parameters, from the one to its hidden states.
fn lstm_backward(on: On, inputs: &Fixture, walked: &Left, d_hidden: &[f32], want: &Fixture) {
    let [rows, features, units] = [CLIPS * STEPS, FEATURES, UNITS];
    let walk = lstm::recurrence_backward::Params {
        batch: CLIPS,
        steps: STEPS,
        units,
        begin: 0,
        end: STEPS,
    };
    let states = (2 * CLIPS * units) as usize;
    let left = on.run(
        &walk,
        &[
            ("weight_hh", numbers(inputs.get("weight_hh"))),
            ("gates", numbers(walked.get("gates"))),
            ("cells", numbers(walked.get("cells"))),
            ("d_hidden", numbers(d_hidden)),
            ("carry", numbers(&vec![0.0; states])),
            ("d_gates", numbers(&vec![0.0; states * 4 * STEPS as usize])),
        ],
    );
    let d_gates = || ("d_gates", numbers(left.get("d_gates")));
    let x = || numbers(inputs.get("x"));
    let weight = lstm::weight_gradient::Params { rows, features, units };
    let left = on.run(&weight, &[d_gates(), ("x", x())]);
    want.check(on, "d_weight_ih", left.get("d_weight_ih"));
    want.check(on, "d_bias", left.get("d_bias"));
    let recurrent = lstm::recurrent_gradient::Params { batch: CLIPS, steps: STEPS, units };
    let hidden = ("hidden", numbers(walked.get("hidden")));
    want.check(on, "d_weight_hh", on.run(&recurrent, &[d_gates(), hidden]).get("d_weight_hh"));
    let weight_ih = ("weight_ih", numbers(inputs.get("weight_ih")));
    let input = lstm::input_gradient::Params { rows, features, units };
    want.check(on, "d_x", on.run(&input, &[d_gates(), weight_ih]).get("d_x"));
}

#[test]
fn bidirectional_lstm() {
    let fixture = Fixture::new("lstm");
    let last = Fixture::new("lstm.last");
    let [batch, steps, units] = [CLIPS, STEPS, UNITS];
    let states = (2 * batch * steps * units) as usize;
    for on in BOTH {
        let packed = |name: &str, inputs| {
            numbers(&on.packed(fixture.get(name), &lstm::packing(units, inputs)))
        };
        let sums = on.run(
            &lstm::input_product::Params { rows: batch * steps, features: FEATURES, units },
            &[
                ("x", numbers(fixture.get("x"))),
                ("packed_ih", packed("weight_ih", FEATURES)),
                ("bias", numbers(fixture.get("bias"))),
            ],
        );
        let walked = on.run(
            &lstm::recurrence_forward::Params { batch, steps, units, begin: 0, end: steps },
            &[
                ("packed_hh", packed("weight_hh", units)),
                ("gates", numbers(sums.get("gates"))),
                ("cells", numbers(&vec![0.0; states])),
                ("hidden", numbers(&vec![0.0; states])),
            ],
        );
        fixture.check(on, "output", walked.get("hidden"));
        lstm_backward(on, &fixture, &walked, fixture.get("d_output"), &fixture);

        let (width, offset) = (2 * units, 0);
        let states = lstm::LastStates { batch, steps, units, rows: batch, first: 0, width, offset };
        let ends = on.run(
            &lstm::last_state::Params { states },
            &[("hidden", numbers(walked.get("hidden")))],
        );
        last.check(on, "output", ends.get("features"));
        let left = on.run(
            &lstm::last_state_gradient::Params { states },
            &[("d_features", numbers(last.get("d_output")))],
        );
        lstm_backward(on, &fixture, &walked, left.get("d_hidden"), &last);
    }
}

#[test]
fn six_updates_of_adam() {
    const BETAS: [f64; 2] = [0.9, 0.999];
    let fixture = Fixture::new("adam");
    let elements = fixture.get("parameter").len();
    let quads = elements as u32 / 4;
    for on in BOTH {
        let mut parameter = numbers(fixture.get("parameter"));
        let mut moments = [(); 2].map(|()| numbers(&vec![0.0; elements]));
        let updates = fixture.get("gradients").chunks(elements).zip(fixture.get("rates"));
        for (update, (gradient, &rate)) in (0..).zip(updates) {
            let kernel = adam::Params::new(quads, BETAS, 1e-8, 0.0);
            let control = adam::control(update, 0, f64::from(rate), BETAS, 1.0);
            let [exp_avg, exp_avg_sq] = moments;
            let left = on.run(
                &kernel,
                &[
                    ("control", Values::U32(control.to_vec())),
                    ("gradient", numbers(gradient)),
                    ("exp_avg", exp_avg),
                    ("exp_avg_sq", exp_avg_sq),
                    ("parameter", parameter),
                    ("status", Values::U32(vec![STATUS_CLEAR])),
                ],
            );
            moments = ["exp_avg", "exp_avg_sq"].map(|name| left.0[name].clone());
            parameter = left.0["parameter"].clone();
        }
        let names = ["after_parameter", "exp_avg", "exp_avg_sq"];
        let [exp_avg, exp_avg_sq] = moments;
        for (name, values) in names.into_iter().zip([parameter, exp_avg, exp_avg_sq]) {
            let Values::F32(values) = values else { unreachable!("Adam's tensors hold numbers") };
            fixture.check(on, name, &values);
        }
    }
}

#[test]
fn softmax_and_binary_cross_entropy() {
    let fixture = Fixture::new("loss");
    for on in BOTH {
        let left = on.run(
            &softmax_bce::Params { batch: 7, moods: 5 },
            &["logits", "targets"].map(|name| (name, numbers(fixture.get(name)))),
        );
        for name in ["probabilities", "loss", "d_logits"] {
            fixture.check(on, name, left.get(name));
        }
    }
}
