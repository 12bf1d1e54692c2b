// Mean and maximum of a sequence over time, into columns of a matrix that other branches share:
//     features[n, offset + j] = Σ_t x[n, t, j] / steps
//     features[n, offset + columns + j] = max_t x[n, t, j]
//     place[n, j] = the first t at which the maximum is reached
// One thread a column of a clip; the other columns of the matrix stay as they are.

struct Params {
    batch: u32,
    steps: u32,
    columns: u32,
    // Columns of features.
    width: u32,
    // The first of the 2 · columns written.
    offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, steps, columns]
@group(0) @binding(1) var<storage, read> x: array<f32>;
// [batch, width]
@group(0) @binding(2) var<storage, read_write> features: array<f32>;
// [batch, columns]
@group(0) @binding(3) var<storage, read_write> place: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch * params.columns {
        return;
    }
    let n = id.x / params.columns;
    let j = id.x % params.columns;
    var at = n * params.steps * params.columns + j;
    var sum = x[at];
    var highest = sum;
    var where_highest = 0u;
    for (var t = 1u; t < params.steps; t++) {
        at += params.columns;
        let value = x[at];
        sum += value;
        if value > highest {
            highest = value;
            where_highest = t;
        }
    }
    let to = n * params.width + params.offset + j;
    features[to] = sum / f32(params.steps);
    features[to + params.columns] = highest;
    place[id.x] = where_highest;
}
