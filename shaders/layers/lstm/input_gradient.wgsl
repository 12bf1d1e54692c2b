// Gradient of an LSTM to its input:
//     d_x[n, t, j] = Σ_d,r d_gates[d, n, t, r] · weight_ih[d, r, j]
// over both directions d and the four gates r of every unit.
//
// A thread computes 8 rows (n, t) of the 8 columns j ≡ lane modulo LANES of its tile, two gates at
// a time. A workgroup's threads lie LANES along the columns and 64 / LANES along the rows.
// Workgroups: x covers the columns in tiles of 8 · LANES, y the rows in tiles of 512 / LANES.

struct Params {
    rows: u32,
    features: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, rows, units] of (i, f), (g, o)
@group(0) @binding(1) var<storage, read> d_gates: array<vec2f>;
// [2, 4, units, features]
@group(0) @binding(2) var<storage, read> weight_ih: array<f32>;
// [rows, features]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

override LANES = 16u;
const ROWS = 8u;

fn weight_at(at: u32) -> f32 {
    return weight_ih[at];
}

fn store(row: u32, j: u32, a: vec4f, b: vec4f) {
    if row < params.rows {
        let start = row * params.features;
        if j < params.features { d_x[start + j] = a.x; }
        if j + LANES < params.features { d_x[start + j + LANES] = a.y; }
        if j + 2u * LANES < params.features { d_x[start + j + 2u * LANES] = a.z; }
        if j + 3u * LANES < params.features { d_x[start + j + 3u * LANES] = a.w; }
        if j + 4u * LANES < params.features { d_x[start + j + 4u * LANES] = b.x; }
        if j + 5u * LANES < params.features { d_x[start + j + 5u * LANES] = b.y; }
        if j + 6u * LANES < params.features { d_x[start + j + 6u * LANES] = b.z; }
        if j + 7u * LANES < params.features { d_x[start + j + 7u * LANES] = b.w; }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = 8u * LANES * group.x + lane % LANES;
    let first = ROWS * (64u / LANES * group.y + lane / LANES);
    // A tile's missing columns and rows repeat the last one.
    let edge = params.features - 1u;
    let j0 = min(j, edge);
    let j1 = min(j + LANES, edge);
    let j2 = min(j + 2u * LANES, edge);
    let j3 = min(j + 3u * LANES, edge);
    let j4 = min(j + 4u * LANES, edge);
    let j5 = min(j + 5u * LANES, edge);
    let j6 = min(j + 6u * LANES, edge);
    let j7 = min(j + 7u * LANES, edge);
    let last = params.rows - 1u;
    let row0 = 2u * min(first, last) * params.units;
    let row1 = 2u * min(first + 1u, last) * params.units;
    let row2 = 2u * min(first + 2u, last) * params.units;
    let row3 = 2u * min(first + 3u, last) * params.units;
    let row4 = 2u * min(first + 4u, last) * params.units;
    let row5 = 2u * min(first + 5u, last) * params.units;
    let row6 = 2u * min(first + 6u, last) * params.units;
    let row7 = 2u * min(first + 7u, last) * params.units;

    // Of each row, columns 0 to 3 (a) and 4 to 7 (b).
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();

    let gate = params.units * params.features;
    for (var pair = 0u; pair < 4u * params.units; pair++) {
        let d = pair / (2u * params.units);
        let u = pair / 2u - d * params.units;
        let gates = pair % 2u;
        let weights = ((4u * d + 2u * gates) * params.units + u) * params.features;
        let v = load(weights, gate, j0, j1, j2, j3);
        let w = load(weights, gate, j4, j5, j6, j7);
        let at = 2u * (d * params.rows * params.units + u) + gates;
        let g0 = d_gates[at + row0];
        a0 = multiply_add(a0, v, g0);
        b0 = multiply_add(b0, w, g0);
        let g1 = d_gates[at + row1];
        a1 = multiply_add(a1, v, g1);
        b1 = multiply_add(b1, w, g1);
        let g2 = d_gates[at + row2];
        a2 = multiply_add(a2, v, g2);
        b2 = multiply_add(b2, w, g2);
        let g3 = d_gates[at + row3];
        a3 = multiply_add(a3, v, g3);
        b3 = multiply_add(b3, w, g3);
        let g4 = d_gates[at + row4];
        a4 = multiply_add(a4, v, g4);
        b4 = multiply_add(b4, w, g4);
        let g5 = d_gates[at + row5];
        a5 = multiply_add(a5, v, g5);
        b5 = multiply_add(b5, w, g5);
        let g6 = d_gates[at + row6];
        a6 = multiply_add(a6, v, g6);
        b6 = multiply_add(b6, w, g6);
        let g7 = d_gates[at + row7];
        a7 = multiply_add(a7, v, g7);
        b7 = multiply_add(b7, w, g7);
    }

    store(first, j, a0, b0);
    store(first + 1u, j, a1, b1);
    store(first + 2u, j, a2, b2);
    store(first + 3u, j, a3, b3);
    store(first + 4u, j, a4, b4);
    store(first + 5u, j, a5, b5);
    store(first + 6u, j, a6, b6);
    store(first + 7u, j, a7, b7);
}
