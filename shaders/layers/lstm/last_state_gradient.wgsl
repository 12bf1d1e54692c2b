// Gradient of last_state:
//     d_h[n, steps − 1, 0, u] = d_features[first + n, offset + u]
//     d_h[n, 0, 1, u] = d_features[first + n, offset + units + u]
// and zero at every other step.
// One thread an element of d_h; y is the clip n.

struct Params {
    batch: u32,
    steps: u32,
    units: u32,
    // Rows of the matrix: all clips, of which these are a part.
    rows: u32,
    // The row of the first clip.
    first: u32,
    width: u32,
    offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [rows, width]
@group(0) @binding(1) var<storage, read> d_features: array<f32>;
// [batch, steps, 2, units]
@group(0) @binding(2) var<storage, read_write> d_hidden: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let columns = 2u * params.units;
    if id.x >= params.steps * columns {
        return;
    }
    let t = id.x / columns;
    let column = id.x % columns;
    var gradient = 0.0;
    if t == select(0u, params.steps - 1u, column < params.units) {
        gradient = d_features[(params.first + id.y) * params.width + params.offset + column];
    }
    d_hidden[id.y * params.steps * columns + id.x] = gradient;
}
