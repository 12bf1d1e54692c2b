// Standardised log-mel features:
//     output[clip, i] = (input[clip, i] − mean) · inverse_deviation
// One thread an element.

struct Params {
    clips: u32,
    // Elements of a clip's spectrogram.
    size: u32,
    // Elements of a clip in the input: hand-crafted features may follow the spectrogram.
    stride: u32,
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, stride]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [clips, size]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.size {
        return;
    }
    let value = input[id.y * params.stride + id.x];
    output[id.y * params.size + id.x] = (value - params.mean) * params.inverse_deviation;
}
