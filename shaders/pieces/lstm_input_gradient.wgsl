// Gradient of an LSTM to its input, as sums over some pairs of gates. A kernel gives `params` with rows,
// features and units, and `d_gates` and `weight_ih`.
//
// A thread computes 8 rows (n, t) of the 8 columns j ≡ lane modulo LANES of its tile, two gates at
// a time. Its threads lie LANES along the columns and 64 / LANES along the rows.
// Workgroups: x covers the columns in tiles of 8 · LANES, y the rows in tiles of 512 / LANES.

override LANES = 16u;
const ROWS = 8u;

// Of each row, columns 0 to 3 (a) and 4 to 7 (b).
struct Tile {
    a0: vec4f, a1: vec4f, a2: vec4f, a3: vec4f,
    a4: vec4f, a5: vec4f, a6: vec4f, a7: vec4f,
    b0: vec4f, b1: vec4f, b2: vec4f, b3: vec4f,
    b4: vec4f, b5: vec4f, b6: vec4f, b7: vec4f,
}

fn column_of(group: vec3u, lane: u32) -> u32 {
    return 8u * LANES * group.x + lane % LANES;
}

fn row_of(group: vec3u, lane: u32) -> u32 {
    return ROWS * (64u / LANES * group.y + lane / LANES);
}

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

// The sums over the pairs of gates [begin, end): (i, f) and (g, o) of each unit in turn, of both
// directions.
fn tile_of(first: u32, j: u32, begin: u32, end: u32) -> Tile {
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

    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();

    let gate = params.units * params.features;
    for (var pair = begin; pair < end; pair++) {
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
    return Tile(a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7);
}

fn store_tile(first: u32, j: u32, tile: Tile) {
    store(first, j, tile.a0, tile.b0);
    store(first + 1u, j, tile.a1, tile.b1);
    store(first + 2u, j, tile.a2, tile.b2);
    store(first + 3u, j, tile.a3, tile.b3);
    store(first + 4u, j, tile.a4, tile.b4);
    store(first + 5u, j, tile.a5, tile.b5);
    store(first + 6u, j, tile.a6, tile.b6);
    store(first + 7u, j, tile.a7, tile.b7);
}
