// Gradient of an LSTM to its input:
//     d_x[n, t, j] = Σ_d,r d_gates[d, n, t, r] · weight_ih[d, r, j]
// over both directions d and the four gates r of every unit.
// The piece says who computes what.

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

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let j = column_of(group, lane);
    let first = row_of(group, lane);
    store_tile(first, j, tile_of(first, j, 0u, 4u * params.units));
}
