// Batch norm of vectors with the batch's own statistics, which also move the running ones:
//     output[n, i] = γ[i] · (input[n, i] − mean[i]) / √(variance[i] + ε) + β[i]
// One thread a feature.

struct Params {
    batch: u32,
    features: u32,
    epsilon: f32,
    // Weight of this batch in the running statistics.
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, features]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [features]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;
// [3, features]: mean, 1 / √(variance + ε), scale
@group(0) @binding(6) var<storage, read_write> moments: array<f32>;
// [batch, features]
@group(0) @binding(7) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if i >= params.features {
        return;
    }
    let count = f32(params.batch);
    // Around the first clip's value, so that nothing large cancels.
    let pivot = input[i];
    var sum = 0.0;
    for (var n = 1u; n < params.batch; n++) {
        sum += input[n * params.features + i] - pivot;
    }
    let mean = pivot + sum / count;
    var squares = 0.0;
    for (var n = 0u; n < params.batch; n++) {
        let distance = input[n * params.features + i] - mean;
        squares = fma(distance, distance, squares);
    }
    let variance = squares / count;
    let inverse = 1.0 / sqrt(variance + params.epsilon);
    let scale = gamma[i] * inverse;
    for (var n = 0u; n < params.batch; n++) {
        let at = n * params.features + i;
        output[at] = fma(input[at] - mean, scale, beta[i]);
    }
    moments[i] = mean;
    moments[params.features + i] = inverse;
    moments[2u * params.features + i] = scale;
    running_mean[i] += params.momentum * (mean - running_mean[i]);
    let unbiased = squares / max(count - 1.0, 1.0);
    running_var[i] += params.momentum * (unbiased - running_var[i]);
}
