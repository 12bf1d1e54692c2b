// Gradient of layers/batch_norm/vector_forward:
//     x̂[n, i] = (input[n, i] − mean[i]) / √(variance[i] + ε)
//     d_γ[i] = Σ_n d_output[n, i] · x̂[n, i],   d_β[i] = Σ_n d_output[n, i]
//     d_input[n, i] = scale[i] · (d_output[n, i] − d_β[i] / N − x̂[n, i] · d_γ[i] / N)
// One thread a feature.

struct Params {
    batch: u32,
    features: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, features]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [3, features]: mean, 1 / √(variance + ε), scale
@group(0) @binding(2) var<storage, read> moments: array<f32>;
// [batch, features]
@group(0) @binding(3) var<storage, read> d_output: array<f32>;
// [batch, features]
@group(0) @binding(4) var<storage, read_write> d_input: array<f32>;
// [features]
@group(0) @binding(5) var<storage, read_write> d_gamma: array<f32>;
@group(0) @binding(6) var<storage, read_write> d_beta: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let i = id.x;
    if i >= params.features {
        return;
    }
    let mean = moments[i];
    let inverse = moments[params.features + i];
    let scale = moments[2u * params.features + i];
    var sum = 0.0;
    var product = 0.0;
    for (var n = 0u; n < params.batch; n++) {
        let at = n * params.features + i;
        sum += d_output[at];
        product = fma(d_output[at], (input[at] - mean) * inverse, product);
    }
    d_beta[i] = sum;
    d_gamma[i] = product;
    let count = f32(params.batch);
    for (var n = 0u; n < params.batch; n++) {
        let at = n * params.features + i;
        let normal = (input[at] - mean) * inverse;
        d_input[at] = scale * (d_output[at] - sum / count - normal * (product / count));
    }
}
