// layers/lstm/input_product for a software adapter whose subgroups have eight threads: a thread's quad are the
// four gates of a unit u in one direction d, and the columns handed round are rows (n, t).
// Workgroups: x covers the tiles, eight of them each.

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

// A turn is a feature; a tile's missing units and rows repeat the last one.
fn own_at(tile: Tile, span: u32, turn: u32) -> vec4f {
    return packed_ih[2u * params.units * turn + min(tile.quad, 2u * params.units - 1u)];
}

fn handed_at(tile: Tile, span: u32, turn: u32, slot: u32) -> f32 {
    return x[min(tile.column + TOGETHER * slot + tile.lane, params.rows - 1u) * params.features + turn];
}

fn keep(tile: Tile, column: u32, sum: vec4f) {
    let row = tile.column + column;
    if tile.real && row < params.rows && tile.quad < 2u * params.units {
        let d = tile.quad / params.units;
        let u = tile.quad - d * params.units;
        let first = 4u * d * params.units + u;
        gates[(d * params.rows + row) * params.units + u] = sum + vec4f(
            bias[first],
            bias[first + params.units],
            bias[first + 2u * params.units],
            bias[first + 3u * params.units],
        );
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) index: u32,
) {
    let tile = tile_of(group, index, 2u * params.units, params.rows);
    _ = product(tile, 1u, 0u, params.features);
}
