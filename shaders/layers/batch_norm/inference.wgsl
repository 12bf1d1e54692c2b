// Batch norm from the running statistics, as a scale and a shift per channel:
//     scale = γ / √(running_var + ε),  shift = β − running_mean · scale
// Channels past the last get zero. One thread a channel of the padded quads.

struct Params {
    channels: u32,
    epsilon: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [channels]
@group(0) @binding(1) var<storage, read> gamma: array<f32>;
@group(0) @binding(2) var<storage, read> beta: array<f32>;
@group(0) @binding(3) var<storage, read> running_mean: array<f32>;
@group(0) @binding(4) var<storage, read> running_var: array<f32>;
// [2, quads, 4]: scale, then shift.
@group(0) @binding(5) var<storage, read_write> affine: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let padded = (params.channels + 3u) / 4u * 4u;
    if id.x >= padded {
        return;
    }
    var scale = 0.0;
    var shift = 0.0;
    if id.x < params.channels {
        scale = gamma[id.x] / sqrt(running_var[id.x] + params.epsilon);
        shift = beta[id.x] - running_mean[id.x] * scale;
    }
    affine[id.x] = scale;
    affine[padded + id.x] = shift;
}
