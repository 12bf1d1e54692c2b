// Batch norm of vectors with the running statistics:
//     output[n, i] = γ[i] · (input[n, i] − mean[i]) / √(variance[i] + ε) + β[i]
// One thread an element.

struct Params {
    batch: u32,
    features: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, features]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [features]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read> running_var: array<f32>;
// [batch, features]
@group(0) @binding(6) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch * params.features {
        return;
    }
    let i = id.x % params.features;
    let scale = gamma[i] / sqrt(running_var[i] + params.epsilon);
    output[id.x] = fma(input[id.x] - running_mean[i], scale, beta[i]);
}
