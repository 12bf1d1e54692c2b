// Gradients of a dense layer to its weights and bias:
//     d_weight[o, i] = Σ_n d_output[n, o] · input[n, i]
//     d_bias[o] = Σ_n d_output[n, o]
// Workgroups: y an output, whose weights and bias have a thread each.

struct Params {
    batch: u32,
    inputs: u32,
    outputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, outputs]
@group(0) @binding(1) var<storage, read> d_output: array<f32>;
// [batch, inputs]
@group(0) @binding(2) var<storage, read> input: array<f32>;
// [outputs, inputs]
@group(0) @binding(3) var<storage, read_write> d_weight: array<f32>;
// [outputs]
@group(0) @binding(4) var<storage, read_write> d_bias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    let o = id.y;
    var sum = 0.0;
    if i < params.inputs {
        for (var n = 0u; n < params.batch; n++) {
            sum = fma(d_output[n * params.outputs + o], input[n * params.inputs + i], sum);
        }
        d_weight[o * params.inputs + i] = sum;
    } else if i == params.inputs {
        for (var n = 0u; n < params.batch; n++) {
            sum += d_output[n * params.outputs + o];
        }
        d_bias[o] = sum;
    }
}
