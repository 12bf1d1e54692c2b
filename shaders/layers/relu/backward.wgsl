// Gradient of a ReLU, from columns of a matrix that others share:
//     d_input[n, i] = input[n, i] > 0 ? d_output[n, offset + i] : 0
// One thread an element.

struct Params {
    batch: u32,
    columns: u32,
    // Columns of d_output.
    width: u32,
    // The first column read.
    offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, columns]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [batch, width]
@group(0) @binding(2) var<storage, read> d_output: array<f32>;
// [batch, columns]
@group(0) @binding(3) var<storage, read_write> d_input: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch * params.columns {
        return;
    }
    let n = id.x / params.columns;
    let i = id.x % params.columns;
    let d = d_output[n * params.width + params.offset + i];
    d_input[id.x] = select(0.0, d, input[id.x] > 0.0);
}
