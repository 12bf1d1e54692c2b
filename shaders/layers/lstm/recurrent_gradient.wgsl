// Gradient of an LSTM's recurrent weights in both directions d:
//     d_weight_hh[d, r, j] = Σ_n,t d_gates[d, n, t, r] · h[n, t', d, j]
// with t' the step walked before t (t − 1 forward, t + 1 in reverse); the first step has none.
// The work is laid out in the piece; a clip's steps from the second on are a span.

struct Params {
    batch: u32,
    steps: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, batch, steps, units] of (i, f, g, o)
@group(0) @binding(1) var<storage, read> d_gates: array<vec4f>;
// [batch, steps, 2, units]
@group(0) @binding(2) var<storage, read> hidden: array<f32>;
// [shares, 2, 4, units, units]
@group(0) @binding(3) var<storage, read_write> d_weight_hh: array<f32>;

fn columns() -> u32 {
    return params.units;
}

// Upwards, the gates of step turn + 1 meet h of step turn; downwards, those of turn h of turn + 1.
fn gates_row(d: u32, n: u32, turn: u32) -> u32 {
    return ((d * params.batch + n) * params.steps + turn + 1u - d) * params.units;
}

fn input_row(d: u32, n: u32, turn: u32) -> u32 {
    return (2u * (n * params.steps + turn + d) + d) * params.units;
}

fn input_at(at: u32) -> f32 {
    return hidden[at];
}

fn put(at: u32, sum: f32) {
    d_weight_hh[at] = sum;
}

// The bias gradient is made once, with the input weights'.
fn put_alone(half: u32, u: u32, sum: vec4f) {}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    outer_product(group, groups, lane, params.batch, params.steps - 1u);
}
