// What the inputs of all steps add to the gates of an LSTM, in both directions d:
//     gates[d, n, t] = weight_ih[d] · x[n, t] + bias[d]
//
// A matrix product of the rows (n, t) with the columns (d, u), each column a unit's four gates.
// A thread computes 8 rows of the columns c and c + 16; a workgroup's threads lie 16 along the
// columns and 4 along the rows.
// Workgroups: x covers the columns in tiles of 32, y the rows in tiles of 32.

struct Params {
    rows: u32,
    features: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [rows, features]
@group(0) @binding(1) var<storage, read> x: array<f32>;
// [features, 2, units] of (i, f, g, o)
@group(0) @binding(2) var<storage, read> packed_ih: array<vec4f>;
// [2, 4, units]
@group(0) @binding(3) var<storage, read> bias: array<f32>;
// [2, rows, units] of (i, f, g, o)
@group(0) @binding(4) var<storage, read_write> gates: array<vec4f>;

const LANES = 16u;
const ROWS = 8u;

fn bias_of(column: u32) -> vec4f {
    let first = column + 3u * params.units * (column / params.units);
    return vec4f(
        bias[first],
        bias[first + params.units],
        bias[first + 2u * params.units],
        bias[first + 3u * params.units],
    );
}

fn store(row: u32, column: u32, value: vec4f) {
    if row < params.rows && column < 2u * params.units {
        let d = column / params.units;
        gates[(d * (params.rows - 1u) + row) * params.units + column] = value;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let columns = 2u * params.units;
    let column = 2u * LANES * group.x + lane % LANES;
    let first = ROWS * (4u * group.y + lane / LANES);
    // A tile's missing rows and columns repeat the last one.
    let last = params.rows - 1u;
    let row0 = min(first, last) * params.features;
    let row1 = min(first + 1u, last) * params.features;
    let row2 = min(first + 2u, last) * params.features;
    let row3 = min(first + 3u, last) * params.features;
    let row4 = min(first + 4u, last) * params.features;
    let row5 = min(first + 5u, last) * params.features;
    let row6 = min(first + 6u, last) * params.features;
    let row7 = min(first + 7u, last) * params.features;
    var column0 = min(column, columns - 1u);
    var column1 = min(column + LANES, columns - 1u);

    // Columns c (a) and c + 16 (b).
    let bias0 = bias_of(column0);
    let bias1 = bias_of(column1);
    var a0 = bias0; var a1 = bias0; var a2 = bias0; var a3 = bias0;
    var a4 = bias0; var a5 = bias0; var a6 = bias0; var a7 = bias0;
    var b0 = bias1; var b1 = bias1; var b2 = bias1; var b3 = bias1;
    var b4 = bias1; var b5 = bias1; var b6 = bias1; var b7 = bias1;

    for (var k = 0u; k < params.features; k++) {
        let w0 = packed_ih[column0];
        let w1 = packed_ih[column1];
        let x0 = vec4f(x[row0 + k]);
        let x1 = vec4f(x[row1 + k]);
        let x2 = vec4f(x[row2 + k]);
        let x3 = vec4f(x[row3 + k]);
        let x4 = vec4f(x[row4 + k]);
        let x5 = vec4f(x[row5 + k]);
        let x6 = vec4f(x[row6 + k]);
        let x7 = vec4f(x[row7 + k]);
        a0 = fma(w0, x0, a0);
        b0 = fma(w1, x0, b0);
        a1 = fma(w0, x1, a1);
        b1 = fma(w1, x1, b1);
        a2 = fma(w0, x2, a2);
        b2 = fma(w1, x2, b2);
        a3 = fma(w0, x3, a3);
        b3 = fma(w1, x3, b3);
        a4 = fma(w0, x4, a4);
        b4 = fma(w1, x4, b4);
        a5 = fma(w0, x5, a5);
        b5 = fma(w1, x5, b5);
        a6 = fma(w0, x6, a6);
        b6 = fma(w1, x6, b6);
        a7 = fma(w0, x7, a7);
        b7 = fma(w1, x7, b7);
        column0 += columns;
        column1 += columns;
    }

    store(first, column, a0);
    store(first + 1u, column, a1);
    store(first + 2u, column, a2);
    store(first + 3u, column, a3);
    store(first + 4u, column, a4);
    store(first + 5u, column, a5);
    store(first + 6u, column, a6);
    store(first + 7u, column, a7);
    store(first, column + LANES, b0);
    store(first + 1u, column + LANES, b1);
    store(first + 2u, column + LANES, b2);
    store(first + 3u, column + LANES, b3);
    store(first + 4u, column + LANES, b4);
    store(first + 5u, column + LANES, b5);
    store(first + 6u, column + LANES, b6);
    store(first + 7u, column + LANES, b7);
}
