// Gradient of the mean and the maximum of a sequence over time:
//     d_x[n, t, j] = d_features[n, offset + j] / steps
//                  + (t = place[n, j] ? d_features[n, offset + columns + j] : 0)
// One thread an element; y is the clip.

struct Params {
    batch: u32,
    steps: u32,
    columns: u32,
    // Columns of d_features.
    width: u32,
    // The first of the 2 · columns read.
    offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, width]
@group(0) @binding(1) var<storage, read> d_features: array<f32>;
// [batch, columns]
@group(0) @binding(2) var<storage, read> place: array<u32>;
// [batch, steps, columns]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.steps * params.columns {
        return;
    }
    let t = id.x / params.columns;
    let j = id.x % params.columns;
    let n = id.y;
    let start = n * params.width + params.offset + j;
    var d = d_features[start] / f32(params.steps);
    if t == place[n * params.columns + j] {
        d += d_features[start + params.columns];
    }
    d_x[n * params.steps * params.columns + id.x] = d;
}
