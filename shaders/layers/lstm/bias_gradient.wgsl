// Gradient of an LSTM's biases in both directions d:
//     d_bias[d, r] = Σ_n,t d_gates[d, n, t, r]
//
// A workgroup sums 8 units: thread (slice, unit) the rows (n, t) ≡ slice modulo 8, then one thread
// a unit the eight slices in order.
// Workgroups: x covers the units of both directions (d, u) in tiles of 8.

struct Params {
    rows: u32,
    units: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, rows, units] of (i, f, g, o)
@group(0) @binding(1) var<storage, read> d_gates: array<vec4f>;
// [2, 4, units]
@group(0) @binding(2) var<storage, read_write> d_bias: array<f32>;

const UNITS = 8u;
const SLICES = 8u;

// [SLICES, UNITS] of (i, f, g, o)
var<workgroup> sums: array<vec4f, 64>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let column = group.x * UNITS + lane % UNITS;
    let inside = column < 2u * params.units;
    let d = column / params.units;
    let u = column % params.units;
    var sum = vec4f();
    if inside {
        for (var row = lane / UNITS; row < params.rows; row += SLICES) {
            sum += d_gates[(d * params.rows + row) * params.units + u];
        }
    }
    sums[lane] = sum;
    workgroupBarrier();
    if lane >= UNITS || !inside {
        return;
    }
    for (var slice = 1u; slice < SLICES; slice++) {
        sum += sums[slice * UNITS + lane];
    }
    let first = 4u * d * params.units + u;
    d_bias[first] = sum.x;
    d_bias[first + params.units] = sum.y;
    d_bias[first + 2u * params.units] = sum.z;
    d_bias[first + 3u * params.units] = sum.w;
}
