// A branch's planar input, standardised, as one quad, for a first block that the `entry_` kernels do
// not take:
//     output[n, band, step] = ((input[n, band, step] − mean) · inverse_deviation, 0, 0, 0)
// and the scale and shift that leave it as it is. One thread an element; y is the clip n.

struct Params {
    // Elements of a spectrogram.
    plane: u32,
    clips: u32,
    // Where the first spectrogram begins, and the elements of a clip: hand-crafted features may
    // follow the spectrogram.
    start: u32,
    stride: u32,
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, stride] from params.start on, a clip's first elements being [bands, steps], in dB
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;
// Scale, then shift.
@group(0) @binding(3) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x == 0u && id.y == 0u {
        affine[0] = vec4f(1.0);
        affine[1] = vec4f();
    }
    if id.x >= params.plane {
        return;
    }
    let value = input[params.start + id.y * params.stride + id.x];
    let standardised = (value - params.mean) * params.inverse_deviation;
    output[id.y * params.plane + id.x] = vec4f(standardised, 0.0, 0.0, 0.0);
}
