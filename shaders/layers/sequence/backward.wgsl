// Gradient of a sequence as a feature map, to the output of its batch norm:
//     d_input[n, c, b, t] = d_output[n, t, c · bands + b]
// The feature map holds channels in quads, [clip, channel/4, band, step] of vec4; channels past
// the last are zero. One thread an element of the feature map.

struct Params {
    batch: u32,
    channels: u32,
    bands: u32,
    steps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, steps, channels · bands]
@group(0) @binding(1) var<storage, read> d_output: array<f32>;
// [batch, quads, bands, steps, 4]
@group(0) @binding(2) var<storage, read_write> d_input: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let quads = (params.channels + 3u) / 4u;
    if id.x >= params.batch * quads * params.bands * params.steps * 4u {
        return;
    }
    let t = id.x / 4u % params.steps;
    let b = id.x / 4u / params.steps % params.bands;
    let q = id.x / 4u / params.steps / params.bands % quads;
    let n = id.x / 4u / params.steps / params.bands / quads;
    let c = 4u * q + id.x % 4u;
    var value = 0.0;
    if c < params.channels {
        let features = params.channels * params.bands;
        value = d_output[(n * params.steps + t) * features + c * params.bands + b];
    }
    d_input[id.x] = value;
}
