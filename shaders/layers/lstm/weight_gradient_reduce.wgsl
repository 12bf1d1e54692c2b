// Adds up the shares of the gradients of an LSTM's weights and bias, each of which lies as the gradient
// does. One thread a number: those of the input weights, then the bias, then the recurrent weights.

struct Params {
    // Numbers of the input weights, of the bias and of the recurrent weights.
    inputs: u32,
    biases: u32,
    recurrent: u32,
    // Shares of the first two, and of the last.
    input_shares: u32,
    recurrent_shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [input_shares, inputs]
@group(0) @binding(1) var<storage, read> ih_partial: array<f32>;
// [input_shares, biases]
@group(0) @binding(2) var<storage, read> bias_partial: array<f32>;
// [recurrent_shares, recurrent]
@group(0) @binding(3) var<storage, read> hh_partial: array<f32>;
// [inputs]
@group(0) @binding(4) var<storage, read_write> d_weight_ih: array<f32>;
// [biases]
@group(0) @binding(5) var<storage, read_write> d_bias: array<f32>;
// [recurrent]
@group(0) @binding(6) var<storage, read_write> d_weight_hh: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    var at = id.x;
    var sum = 0.0;
    if at < params.inputs {
        for (var share = 0u; share < params.input_shares; share++) {
            sum += ih_partial[share * params.inputs + at];
        }
        d_weight_ih[at] = sum;
        return;
    }
    at -= params.inputs;
    if at < params.biases {
        for (var share = 0u; share < params.input_shares; share++) {
            sum += bias_partial[share * params.biases + at];
        }
        d_bias[at] = sum;
        return;
    }
    at -= params.biases;
    if at < params.recurrent {
        for (var share = 0u; share < params.recurrent_shares; share++) {
            sum += hh_partial[share * params.recurrent + at];
        }
        d_weight_hh[at] = sum;
    }
}
