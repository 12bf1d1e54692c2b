// A branch's planar input, standardised, as one quad, for a first block that the `entry_` kernels do
// not take:
//     output[n, band, step] = ((input[n, band, step] − mean) · inverse_deviation, 0, 0, 0)
// and the scale and shift that leave it as it is. One thread an element; y is the clip n.

struct Params {
    // Elements of a spectrogram.
    plane: u32,
    clips: u32,
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, bands, steps], in dB
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
    let at = id.y * params.plane + id.x;
    let standardised = (input[at] - params.mean) * params.inverse_deviation;
    output[at] = vec4f(standardised, 0.0, 0.0, 0.0);
}
