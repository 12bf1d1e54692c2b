// A sigmoid for each mood:
//     probabilities[e] = 1 / (1 + exp(−logits[e]))
// One thread an element.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [elements]
@group(0) @binding(1) var<storage, read> logits: array<f32>;
// [elements]
@group(0) @binding(2) var<storage, read_write> probabilities: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.elements {
        return;
    }
    probabilities[id.x] = sigmoid(logits[id.x]);
}
