// Inverted dropout:
//     output[e] = keep(e) ? input[e] / keep_probability : 0
// keep(e) comes from a counter: the element, the update and the seed, hashed (pcg3d of Jarzynski
// and Olano, "Hash Functions for GPU Rendering", 2020), so that CPU and GPU drop the same elements
// and the backward pass, which is the same with gradients, needs no stored mask. One thread an
// element.

struct Params {
    elements: u32,
    // The counter of the first, so that no two layers drop the same.
    first: u32,
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

// The first word of the hash: the last steps of the other two are left out.
fn pcg3d(key: vec3u) -> u32 {
    var v = key * 1664525u + 1013904223u;
    v.x += v.y * v.z;
    v.y += v.z * v.x;
    v.z += v.x * v.y;
    v ^= v >> vec3u(16u);
    return v.x + v.y * v.z;
}

fn keeps(element: u32) -> bool {
    return pcg3d(vec3u(element, control[0], control[1])) >> 8u < params.keep_below;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.elements {
        return;
    }
    output[id.x] = select(0.0, input[id.x] * params.scale, keeps(params.first + id.x));
}
