// The states with which both directions of an LSTM end their walks, into columns of a matrix that
// other branches share:
//     features[first + n, offset + u] = h[n, steps − 1, 0, u]
//     features[first + n, offset + units + u] = h[n, 0, 1, u]
// One thread an element; the other columns stay as they are.

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
// [batch, steps, 2, units]
@group(0) @binding(1) var<storage, read> hidden: array<f32>;
// [rows, width]
@group(0) @binding(2) var<storage, read_write> features: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let columns = 2u * params.units;
    if id.x >= params.batch * columns {
        return;
    }
    let n = id.x / columns;
    let column = id.x % columns;
    let t = select(0u, params.steps - 1u, column < params.units);
    features[(params.first + n) * params.width + params.offset + column] =
        hidden[(n * params.steps + t) * columns + column];
}
