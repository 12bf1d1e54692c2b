// Standardised hand-crafted features, each with its own mean and deviation:
//     output[clip, i] = (input[clip, i] − mean_i) · inverse_i,   i = 0 … 5
// One thread a clip.

struct Params {
    clips: u32,
    mean_0: f32,
    mean_1: f32,
    mean_2: f32,
    mean_3: f32,
    mean_4: f32,
    mean_5: f32,
    inverse_0: f32,
    inverse_1: f32,
    inverse_2: f32,
    inverse_3: f32,
    inverse_4: f32,
    inverse_5: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, 6]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [clips, 6]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.clips {
        return;
    }
    let at = 6u * id.x;
    output[at] = (input[at] - params.mean_0) * params.inverse_0;
    output[at + 1u] = (input[at + 1u] - params.mean_1) * params.inverse_1;
    output[at + 2u] = (input[at + 2u] - params.mean_2) * params.inverse_2;
    output[at + 3u] = (input[at + 3u] - params.mean_3) * params.inverse_3;
    output[at + 4u] = (input[at + 4u] - params.mean_4) * params.inverse_4;
    output[at + 5u] = (input[at + 5u] - params.mean_5) * params.inverse_5;
}
