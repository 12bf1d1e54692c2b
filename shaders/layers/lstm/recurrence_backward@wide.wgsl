// layers/lstm/recurrence_backward for GPUs, laid out as layers/lstm/recurrence_forward@wide is: a workgroup of
// 256 threads owns all units of two clips n in one direction and walks alone. SPLIT threads share a unit:
// each takes every SPLIT-th four of the units that send a gradient back, with their four gates, so that
// sixteen loads are under way at once. d_gates of the step after lies in workgroup memory.
// Workgroups: x covers the clips in pairs, y is the direction.

struct Params {
    batch: u32,
    steps: u32,
    units: u32,
    // First and last + 1 step of the walk.
    begin: u32,
    end: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, 4, units, units]
@group(0) @binding(1) var<storage, read> weight_hh: array<f32>;
// [2, batch, steps, units] of (i, f, g, o)
@group(0) @binding(2) var<storage, read> gates: array<vec4f>;
// [2, batch, steps, units]
@group(0) @binding(3) var<storage, read> cells: array<f32>;
// [batch, steps, 2, units]
@group(0) @binding(4) var<storage, read> d_hidden: array<f32>;
// [2, batch, units]
@group(0) @binding(5) var<storage, read_write> carry: array<f32>;
// [2, batch, steps, units] of (i, f, g, o)
@group(0) @binding(6) var<storage, read_write> d_gates: array<vec4f>;

// Threads that share a unit: 1, 2, 4 or 8; there are no more than 256 / SPLIT units.
override SPLIT = 2u;
const THREADS = 256u;
const CLIPS = 2u;
const MAX_UNITS = 256u;
// Units whose gradient a thread takes at a time.
const FOUR = 4u;

// [CLIPS, MAX_UNITS] of (i, f, g, o): of the step after; zero past the last unit.
var<workgroup> later: array<vec4f, 512>;
// [CLIPS, THREADS]
var<workgroup> sums: array<f32, 512>;

// The weights from a unit's four gates to what is sent back to `unit`.
fn weights_of(d: u32, k: u32, unit: u32) -> vec4f {
    let square = params.units * params.units;
    let at = 4u * d * square + min(k, params.units - 1u) * params.units + unit;
    return vec4f(
        weight_hh[at], weight_hh[at + square], weight_hh[at + 2u * square], weight_hh[at + 3u * square],
    );
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) index: u32,
) {
    let n = group.x * CLIPS;
    let d = group.y;
    let units = params.units;
    let width = THREADS / SPLIT;
    let part = index / width;
    // Threads past the last unit repeat it.
    let unit = min(index % width, units - 1u);
    let after = select(params.end, params.steps - 1u - params.end, d == 1u);
    for (var i = index; i < CLIPS * MAX_UNITS; i += THREADS) {
        let u = i % MAX_UNITS;
        let clip = min(n + i / MAX_UNITS, params.batch - 1u);
        var gradient = vec4f();
        if params.end < params.steps && u < units {
            gradient = d_gates[((d * params.batch + clip) * params.steps + after) * units + u];
        }
        later[i] = gradient;
    }
    workgroupBarrier();

    for (var s = params.end; s > params.begin; s--) {
        // Walk step s − 1 is computed; s is the one after it, if there is one.
        let terms = select(units, 0u, s == params.steps);
        var a = 0.0;
        var b = 0.0;
        for (var k = FOUR * part; k < terms; k += FOUR * SPLIT) {
            // Past the last unit d_gates is zero.
            let w0 = weights_of(d, k, unit);
            let w1 = weights_of(d, k + 1u, unit);
            let w2 = weights_of(d, k + 2u, unit);
            let w3 = weights_of(d, k + 3u, unit);
            a += dot(w0, later[k]) + dot(w1, later[k + 1u]);
            a += dot(w2, later[k + 2u]) + dot(w3, later[k + 3u]);
            b += dot(w0, later[MAX_UNITS + k]) + dot(w1, later[MAX_UNITS + k + 1u]);
            b += dot(w2, later[MAX_UNITS + k + 2u]) + dot(w3, later[MAX_UNITS + k + 3u]);
        }
        sums[index] = a;
        sums[THREADS + index] = b;
        workgroupBarrier();
        for (var i = index; i < CLIPS * width; i += THREADS) {
            let clip = i / width;
            let u = i % width;
            if u < units && n + clip < params.batch {
                var back = 0.0;
                for (var p = 0u; p < SPLIT; p++) {
                    back += sums[clip * THREADS + p * width + u];
                }
                let gradient = retreat(n + clip, s - 1u, d, u, back);
                d_gates[place_of(n + clip, s - 1u, d, u)] = gradient;
                later[clip * MAX_UNITS + u] = gradient;
            }
        }
        workgroupBarrier();
    }
}
