// Gradient of an LSTM's input weights and bias in both directions d:
//     d_weight_ih[d, r, j] = Σ_n,t d_gates[d, n, t, r] · x[n, t, j]
//     d_bias[d, r] = Σ_n,t d_gates[d, n, t, r]
// The work is laid out in the piece; the rows (n, t) are one span.

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
// [shares, 2, 4, units, features]
@group(0) @binding(3) var<storage, read_write> d_weight_ih: array<f32>;
// [shares, 2, 4, units]
@group(0) @binding(4) var<storage, read_write> d_bias: array<f32>;

fn columns() -> u32 {
    return params.features;
}

fn gates_row(d: u32, span: u32, row: u32) -> u32 {
    return (d * params.rows + row) * params.units;
}

fn input_row(d: u32, span: u32, row: u32) -> u32 {
    return row * params.features;
}

fn input_at(at: u32) -> f32 {
    return x[at];
}

fn put(at: u32, sum: f32) {
    d_weight_ih[at] = sum;
}

fn put_alone(half: u32, u: u32, sum: vec4f) {
    if u < params.units {
        let first = 4u * half * params.units + u;
        d_bias[first] = sum.x;
        d_bias[first + params.units] = sum.y;
        d_bias[first + 2u * params.units] = sum.z;
        d_bias[first + 3u * params.units] = sum.w;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    outer_product(group, groups, lane, 1u, params.rows);
}
