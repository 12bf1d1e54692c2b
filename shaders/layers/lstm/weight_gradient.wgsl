// Gradient of an LSTM's input weights and bias in both directions d:
//     d_weight_ih[d, r, j] = Σ_n,t d_gates[d, n, t, r] · x[n, t, j]
//     d_bias[d, r] = Σ_n,t d_gates[d, n, t, r]
//
// A thread computes the four gates r of two units for the 8 columns j ≡ lane modulo LANES of its
// tile, and walks over the rows (n, t). A workgroup's threads lie LANES along the
// columns and 64 / LANES along the units.
// Workgroups: x covers the columns in tiles of 8 · LANES, y the units in tiles of 128 / LANES, z
// is d.

struct Params {
    rows: u32,
    features: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, rows, units] of (i, f, g, o)
@group(0) @binding(1) var<storage, read> d_gates: array<vec4f>;
// [rows, features]
@group(0) @binding(2) var<storage, read> x: array<f32>;
// [2, 4, units, features]
@group(0) @binding(3) var<storage, read_write> d_weight_ih: array<f32>;
// [2, 4, units]
@group(0) @binding(4) var<storage, read_write> d_bias: array<f32>;

override LANES = 16u;

fn store(d: u32, u: u32, j: u32, sum: vec4f) {
    if u < params.units && j < params.features {
        let gate = params.units * params.features;
        let first = (4u * d * params.units + u) * params.features + j;
        d_weight_ih[first] = sum.x;
        d_weight_ih[first + gate] = sum.y;
        d_weight_ih[first + 2u * gate] = sum.z;
        d_weight_ih[first + 3u * gate] = sum.w;
    }
}

fn store_bias(d: u32, u: u32, sum: vec4f) {
    if u < params.units {
        let first = 4u * d * params.units + u;
        d_bias[first] = sum.x;
        d_bias[first + params.units] = sum.y;
        d_bias[first + 2u * params.units] = sum.z;
        d_bias[first + 3u * params.units] = sum.w;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let d = group.z;
    let u = 2u * (64u / LANES * group.y + lane / LANES);
    let j = 8u * LANES * group.x + lane % LANES;
    // A tile's missing units and columns repeat the last one.
    let u0 = min(u, params.units - 1u);
    let u1 = min(u + 1u, params.units - 1u);
    let last = params.features - 1u;
    let j0 = min(j, last);
    let j1 = min(j + LANES, last);
    let j2 = min(j + 2u * LANES, last);
    let j3 = min(j + 3u * LANES, last);
    let j4 = min(j + 4u * LANES, last);
    let j5 = min(j + 5u * LANES, last);
    let j6 = min(j + 6u * LANES, last);
    let j7 = min(j + 7u * LANES, last);

    // The gates' sums of units u (a) and u + 1 (b) in each column.
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();

    // Their sums over the rows alone.
    var a = vec4f(); var b = vec4f();

    for (var row = 0u; row < params.rows; row++) {
        let at = (d * params.rows + row) * params.units;
        let start = row * params.features;
        let g = d_gates[at + u0];
        let e = d_gates[at + u1];
        a += g;
        b += e;
        let x0 = vec4f(x[start + j0]);
        let x1 = vec4f(x[start + j1]);
        let x2 = vec4f(x[start + j2]);
        let x3 = vec4f(x[start + j3]);
        let x4 = vec4f(x[start + j4]);
        let x5 = vec4f(x[start + j5]);
        let x6 = vec4f(x[start + j6]);
        let x7 = vec4f(x[start + j7]);
        a0 = fma(g, x0, a0);
        b0 = fma(e, x0, b0);
        a1 = fma(g, x1, a1);
        b1 = fma(e, x1, b1);
        a2 = fma(g, x2, a2);
        b2 = fma(e, x2, b2);
        a3 = fma(g, x3, a3);
        b3 = fma(e, x3, b3);
        a4 = fma(g, x4, a4);
        b4 = fma(e, x4, b4);
        a5 = fma(g, x5, a5);
        b5 = fma(e, x5, b5);
        a6 = fma(g, x6, a6);
        b6 = fma(e, x6, b6);
        a7 = fma(g, x7, a7);
        b7 = fma(e, x7, b7);
    }

    store(d, u, j, a0);
    store(d, u, j + LANES, a1);
    store(d, u, j + 2u * LANES, a2);
    store(d, u, j + 3u * LANES, a3);
    store(d, u, j + 4u * LANES, a4);
    store(d, u, j + 5u * LANES, a5);
    store(d, u, j + 6u * LANES, a6);
    store(d, u, j + 7u * LANES, a7);
    store(d, u + 1u, j, b0);
    store(d, u + 1u, j + LANES, b1);
    store(d, u + 1u, j + 2u * LANES, b2);
    store(d, u + 1u, j + 3u * LANES, b3);
    store(d, u + 1u, j + 4u * LANES, b4);
    store(d, u + 1u, j + 5u * LANES, b5);
    store(d, u + 1u, j + 6u * LANES, b6);
    store(d, u + 1u, j + 7u * LANES, b7);
    // Every column sees the same; the first one writes it.
    if j == 0u {
        store_bias(d, u, a);
        store_bias(d, u + 1u, b);
    }
}
