// Softmax over each clip's moods:
//     probabilities[n, m] = exp(logits[n, m] − max) / Σ_k exp(logits[n, k] − max)
// One thread a clip: there are only a few moods.

struct Params {
    batch: u32,
    moods: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, moods]
@group(0) @binding(1) var<storage, read> logits: array<f32>;
// [batch, moods]
@group(0) @binding(2) var<storage, read_write> probabilities: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch {
        return;
    }
    let first = id.x * params.moods;
    let clip = softmax(first);
    for (var m = 0u; m < params.moods; m++) {
        probabilities[first + m] = probability(logits[first + m], clip);
    }
}
