// Standardised features:
//     output[clip, i] = (input[clip, i] − mean) · inverse_deviation
// One thread an element.

struct Params {
    clips: u32,
    // Elements of a clip.
    size: u32,
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, size]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [clips, size]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.size {
        return;
    }
    let at = id.y * params.size + id.x;
    output[at] = (input[at] - params.mean) * params.inverse_deviation;
}
