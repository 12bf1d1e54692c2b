// A branch's last feature map, normalised, as a sequence for the LSTM:
//     output[n, t, c · bands + b] = scale[c] · input[n, c, b, t] + shift[c]
// The input holds channels in quads: [clip, channel/4, band, step] of vec4.
// One thread an output element.

struct Params {
    batch: u32,
    channels: u32,
    bands: u32,
    steps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, quads, bands, steps, 4]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [2, quads, 4]: scale, then shift.
@group(0) @binding(2) var<storage, read> affine: array<f32>;
// [batch, steps, channels · bands]
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let features = params.channels * params.bands;
    if id.x >= params.batch * params.steps * features {
        return;
    }
    let quads = (params.channels + 3u) / 4u;
    let c = id.x % features / params.bands;
    let b = id.x % params.bands;
    let t = id.x / features % params.steps;
    let n = id.x / features / params.steps;
    let at = (((n * quads + c / 4u) * params.bands + b) * params.steps + t) * 4u + c % 4u;
    output[id.x] = fma(input[at], affine[c], affine[4u * quads + c]);
}
