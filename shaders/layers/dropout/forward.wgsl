// Inverted dropout:
//     output[e] = keep(e) ? input[e] / keep_probability : 0
// keep(e) comes from a counter: the element, the update and the seed, hashed (pcg3d of Jarzynski
// and Olano, "Hash Functions for GPU Rendering", 2020), so that CPU and GPU drop the same elements
// and the backward pass needs no stored mask. One thread an element.

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
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.elements {
        return;
    }
    output[id.x] = select(0.0, input[id.x] * params.scale, keeps(id.x));
}
