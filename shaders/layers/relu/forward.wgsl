// ReLU, into columns of a matrix that others share:
//     output[n, offset + i] = max(0, input[n, i])
// One thread an element; the other columns stay as they are.

struct Params {
    batch: u32,
    columns: u32,
    // Columns of the output.
    width: u32,
    // The first column written.
    offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, columns]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [batch, width]
@group(0) @binding(2) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch * params.columns {
        return;
    }
    let n = id.x / params.columns;
    let i = id.x % params.columns;
    output[n * params.width + params.offset + i] = max(0.0, input[id.x]);
}
