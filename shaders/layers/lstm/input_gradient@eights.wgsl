// layers/lstm/input_gradient for a software adapter whose subgroups have eight threads: a thread's quad are four
// features j, eight apart, and the columns handed round are rows (n, t).
// Workgroups: x covers the tiles, eight of them each.

struct Params {
    rows: u32,
    features: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, rows, units, 4]
@group(0) @binding(1) var<storage, read> d_gates: array<f32>;
// [2, 4, units, features]
@group(0) @binding(2) var<storage, read> weight_ih: array<f32>;
// [rows, features]
@group(0) @binding(3) var<storage, read_write> d_x: array<f32>;

// The first of the quad's features, which are eight apart.
fn feature_of(tile: Tile) -> u32 {
    return 4u * TOGETHER * (tile.quad / TOGETHER) + tile.lane;
}

// A span is a direction and a turn a gate of a unit; a tile's missing features and rows repeat the last one.
fn own_at(tile: Tile, span: u32, turn: u32) -> vec4f {
    let start = ((4u * span + turn % 4u) * params.units + turn / 4u) * params.features;
    let j = feature_of(tile);
    let edge = params.features - 1u;
    return vec4f(
        weight_ih[start + min(j, edge)],
        weight_ih[start + min(j + TOGETHER, edge)],
        weight_ih[start + min(j + 2u * TOGETHER, edge)],
        weight_ih[start + min(j + 3u * TOGETHER, edge)],
    );
}

fn handed_at(tile: Tile, span: u32, turn: u32, slot: u32) -> f32 {
    let row = min(tile.column + TOGETHER * slot + tile.lane, params.rows - 1u);
    return d_gates[4u * (span * params.rows + row) * params.units + turn];
}

fn keep(tile: Tile, column: u32, sum: vec4f) {
    let row = tile.column + column;
    if tile.real && row < params.rows {
        let j = feature_of(tile);
        let start = row * params.features;
        if j < params.features { d_x[start + j] = sum.x; }
        if j + TOGETHER < params.features { d_x[start + j + TOGETHER] = sum.y; }
        if j + 2u * TOGETHER < params.features { d_x[start + j + 2u * TOGETHER] = sum.z; }
        if j + 3u * TOGETHER < params.features { d_x[start + j + 3u * TOGETHER] = sum.w; }
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) index: u32,
) {
    let tile = tile_of(group, index, (params.features + 3u) / 4u, params.rows);
    _ = product(tile, 2u, 0u, 4u * params.units);
}
