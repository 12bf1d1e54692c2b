// Gradient of a dense layer to its input:
//     d_input[n, i] = Σ_o d_output[n, o] · weight[o, i]
// One thread an input element.

struct Params {
    batch: u32,
    inputs: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, outputs]
@group(0) @binding(1) var<storage, read> d_output: array<f32>;
// [outputs, inputs]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// [batch, inputs]
@group(0) @binding(3) var<storage, read_write> d_input: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch * params.inputs {
        return;
    }
    let n = id.x / params.inputs;
    let i = id.x % params.inputs;
    var sum = 0.0;
    for (var o = 0u; o < params.outputs; o++) {
        sum = fma(d_output[n * params.outputs + o], weight[o * params.inputs + i], sum);
    }
    d_input[id.x] = sum;
}
