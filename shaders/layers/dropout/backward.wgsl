// Gradient of inverted dropout:
//     d_input[e] = keep(e) ? d_output[e] / keep_probability : 0
// with the hash that the forward pass kept by. One thread an element.

struct Params {
    elements: u32,
    // Kept where a 24-bit hash is below this: keep_probability · 2^24.
    keep_below: u32,
    // 1 / keep_probability.
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The update and the seed come first.
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> d_output: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_input: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.elements {
        return;
    }
    d_input[id.x] = select(0.0, d_output[id.x] * params.scale, keeps(id.x));
}
