// Gradient of an LSTM to its input:
//     d_x[n, t, j] = Σ_d,r d_gates[d, n, t, r] · weight_ih[d, r, j]
// over both directions d and the four gates r of every unit.
// The piece says who computes what; here each of four times 64 threads walks a quarter of the gates, so
// that a GPU has four times as many waves to wait for memory with.

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

const QUARTERS = 4u;

// A quarter's sums, on their way to the first.
var<workgroup> sums: array<array<vec4f, 64>, 16>;

@compute @workgroup_size(64, QUARTERS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_id) id: vec3u,
) {
    let lane = id.x;
    let j = column_of(group, lane);
    let first = row_of(group, lane);
    let pairs = 4u * params.units;
    var tile = tile_of(first, j, pairs * id.y / QUARTERS, pairs * (id.y + 1u) / QUARTERS);
    for (var quarter = 1u; quarter < QUARTERS; quarter++) {
        if id.y == quarter {
            hand_over(lane, tile);
        }
        workgroupBarrier();
        if id.y == 0u {
            tile = added(lane, tile);
        }
        workgroupBarrier();
    }
    if id.y == 0u {
        store_tile(first, j, tile);
    }
}

fn hand_over(lane: u32, tile: Tile) {
    sums[0][lane] = tile.a0;
    sums[1][lane] = tile.a1;
    sums[2][lane] = tile.a2;
    sums[3][lane] = tile.a3;
    sums[4][lane] = tile.a4;
    sums[5][lane] = tile.a5;
    sums[6][lane] = tile.a6;
    sums[7][lane] = tile.a7;
    sums[8][lane] = tile.b0;
    sums[9][lane] = tile.b1;
    sums[10][lane] = tile.b2;
    sums[11][lane] = tile.b3;
    sums[12][lane] = tile.b4;
    sums[13][lane] = tile.b5;
    sums[14][lane] = tile.b6;
    sums[15][lane] = tile.b7;
}

fn added(lane: u32, tile: Tile) -> Tile {
    return Tile(
        tile.a0 + sums[0][lane],
        tile.a1 + sums[1][lane],
        tile.a2 + sums[2][lane],
        tile.a3 + sums[3][lane],
        tile.a4 + sums[4][lane],
        tile.a5 + sums[5][lane],
        tile.a6 + sums[6][lane],
        tile.a7 + sums[7][lane],
        tile.b0 + sums[8][lane],
        tile.b1 + sums[9][lane],
        tile.b2 + sums[10][lane],
        tile.b3 + sums[11][lane],
        tile.b4 + sums[12][lane],
        tile.b5 + sums[13][lane],
        tile.b6 + sums[14][lane],
        tile.b7 + sums[15][lane],
    );
}
