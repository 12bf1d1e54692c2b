// Batch statistics from the convolution's partial sums, and what follows from them:
//     s1 = Σ (x − pivot), s2 = Σ (x − pivot)²,  over the batch and the plane, N elements
//     mean = pivot + s1 / N,  variance = s2 / N − (s1 / N)²
//     scale = γ / √(variance + ε),  shift = β − mean · scale
//     running ← (1 − momentum) · running + momentum · (mean, variance · N / (N − 1))
// The pivot is the running mean before this update. One workgroup a quad of channels.

struct Params {
    channels: u32,
    // Shares of `partial`.
    shares: u32,
    // N.
    elements: f32,
    epsilon: f32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [shares, quads, 2]
@group(0) @binding(1) var<storage, read> partial: array<vec4f>;
// [channels]
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> running_mean: array<f32>;
@group(0) @binding(5) var<storage, read_write> running_var: array<f32>;
// [3, quads]: mean, 1 / √(variance + ε), scale.
@group(0) @binding(6) var<storage, read_write> moments: array<vec4f>;
// [2, quads]: scale, then shift.
@group(0) @binding(7) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let quad = group.x;
    let quads = groups.x;
    var first = vec4f();
    var second = vec4f();
    for (var share = lane; share < params.shares; share += LANES) {
        first += partial[(share * quads + quad) * 2u];
        second += partial[(share * quads + quad) * 2u + 1u];
    }
    add_up(lane, first, second);
    if lane > 0u {
        return;
    }
    let distance = sums[0] / params.elements;
    let variance = max(sums[LANES] / params.elements - distance * distance, vec4f());
    let inverse = 1.0 / sqrt(variance + params.epsilon);
    let unbiased = variance * (params.elements / max(params.elements - 1.0, 1.0));
    var mean = vec4f();
    var scale = vec4f();
    var shift = vec4f();
    for (var c = 0u; c < 4u; c++) {
        let channel = 4u * quad + c;
        if channel < params.channels {
            mean[c] = running_mean[channel] + distance[c];
            scale[c] = gamma[channel] * inverse[c];
            shift[c] = beta[channel] - mean[c] * scale[c];
            running_mean[channel] += params.momentum * distance[c];
            running_var[channel] += params.momentum * (unbiased[c] - running_var[channel]);
        }
    }
    moments[quad] = mean;
    moments[quads + quad] = inverse;
    moments[2u * quads + quad] = scale;
    affine[quad] = scale;
    affine[quads + quad] = shift;
}
