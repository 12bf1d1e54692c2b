// Adds a part of the batch to a gradient:
//     gradient[e] ← gradient[e] + part[e]
// One thread an element.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> part: array<f32>;
@group(0) @binding(2) var<storage, read_write> gradient: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x < params.elements {
        gradient[id.x] += part[id.x];
    }
}
