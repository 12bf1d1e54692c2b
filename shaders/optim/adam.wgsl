// Adam (Kingma and Ba, 2015) in PyTorch's form, with the weight decay of AdamW (Loshchilov and
// Hutter, 2019), over all parameters at once:
//     m ← β1 · m + (1 − β1) · g
//     v ← β2 · v + (1 − β2) · g²
//     w ← w · (1 − learning rate · decay) − step · m / (√v · correction + ε)
// The host folds the bias corrections, in f64, into
//     step = learning rate / (1 − β1^t),  correction = 1 / √(1 − β2^t).
//
// A gradient that is not finite leaves its update's number in `status`, if that is the first.
// Its exponent bits tell, since a compiler may assume that floats are never infinite or NaN.
// One thread four parameters.

struct Params {
    // Parameters / 4.
    quads: u32,
    beta1: f32,
    beta2: f32,
    // 1 − β1 and 1 − β2
    rest1: f32,
    rest2: f32,
    epsilon: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Update, seed, step, correction and learning rate (as bits); another kernel's.
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> gradient: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> exp_avg: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> exp_avg_sq: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> parameter: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> status: array<atomic<u32>>;

@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let i = id.y * groups.x * 64u + id.x;
    if i >= params.quads {
        return;
    }
    let g = gradient[i];
    let exponent = (bitcast<vec4u>(g) >> vec4u(23u)) & vec4u(0xffu);
    if any(exponent == vec4u(0xffu)) {
        atomicMin(&status[0], control[0]);
    }
    let step = bitcast<f32>(control[2]);
    let correction = bitcast<f32>(control[3]);
    let m = fma(vec4f(params.beta1), exp_avg[i], params.rest1 * g);
    let v = fma(vec4f(params.beta2), exp_avg_sq[i], params.rest2 * g * g);
    exp_avg[i] = m;
    exp_avg_sq[i] = v;
    let kept = 1.0 - bitcast<f32>(control[4]) * params.weight_decay;
    parameter[i] = parameter[i] * kept
        - step * m / fma(sqrt(v), vec4f(correction), vec4f(params.epsilon));
}
