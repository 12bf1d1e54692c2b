// Dense layer:
//     output[n, o] = bias[o] + Σ_i input[n, i] · weight[o, i]
// One thread an output element.

struct Params {
    batch: u32,
    inputs: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, inputs]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [outputs, inputs]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// [outputs]
@group(0) @binding(3) var<storage, read> bias: array<f32>;
// [batch, outputs]
@group(0) @binding(4) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch * params.outputs {
        return;
    }
    let n = id.x / params.outputs;
    let o = id.x % params.outputs;
    var sum = bias[o];
    for (var i = 0u; i < params.inputs; i++) {
        sum = fma(input[n * params.inputs + i], weight[o * params.inputs + i], sum);
    }
    output[id.x] = sum;
}
