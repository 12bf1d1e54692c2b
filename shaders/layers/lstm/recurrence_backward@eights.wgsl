// layers/lstm/recurrence_backward for a software adapter whose subgroups have eight threads. A workgroup owns all
// units of eight clips n in one direction and walks alone; a thread owns four units, eight apart. Of d_gates of the
// step after, each of a subgroup's threads loads one clip's, and hands it to the others; it is read from the
// storage where it was just written: one barrier a step.
// Workgroups: x covers the clips in tiles of 8, y is the direction.

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

override THREADS = 32u;
const CLIPS = 8u;
const TOGETHER = 8u;
// Of a thread.
const UNITS = 4u;

// [CLIPS, 64 threads]: what is sent back to a thread's units. No thread reads another's.
var<workgroup> back: array<vec4f, 512>;

// The weights from one gate of unit k to what is sent back to four units.
fn weights_of(gate: u32, k: u32, to: vec4u) -> vec4f {
    let start = (gate * params.units + k) * params.units;
    return vec4f(
        weight_hh[start + to.x],
        weight_hh[start + to.y],
        weight_hh[start + to.z],
        weight_hh[start + to.w],
    );
}

fn all_weights_of(d: u32, k: u32, to: vec4u) -> mat4x4f {
    return mat4x4f(
        weights_of(4u * d, k, to),
        weights_of(4u * d + 1u, k, to),
        weights_of(4u * d + 2u, k, to),
        weights_of(4u * d + 3u, k, to),
    );
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) index: u32,
) {
    let n = group.x * CLIPS;
    let d = group.y;
    let edge = params.units - 1u;
    let lane = subgroupExclusiveAdd(1u);
    let first = UNITS * (subgroupBroadcastFirst(index) / TOGETHER) * TOGETHER + lane;
    // A tile's missing units and clips repeat the last one.
    let to = min(first + TOGETHER * vec4u(0u, 1u, 2u, 3u), vec4u(edge));
    let clip = (d * params.batch + min(n + lane, params.batch - 1u)) * params.steps;

    var s = params.end;
    loop {
        // Walk step s − 1 is computed; s is the one after it, if there is one.
        var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
        var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
        if s < params.steps {
            let after = (clip + select(s, params.steps - 1u - s, d == 1u)) * params.units;
            var k = 0u;
            loop {
                // Two units at a time; past the last one nothing is sent.
                let next = min(k + 1u, edge);
                let x = d_gates[after + k];
                let y = select(vec4f(), d_gates[after + next], next > k);
                let v = all_weights_of(d, k, to);
                let w = all_weights_of(d, next, to);
                s0 = multiply_add(multiply_add(s0, v, subgroupBroadcast(x, 0u)), w, subgroupBroadcast(y, 0u));
                s1 = multiply_add(multiply_add(s1, v, subgroupBroadcast(x, 1u)), w, subgroupBroadcast(y, 1u));
                s2 = multiply_add(multiply_add(s2, v, subgroupBroadcast(x, 2u)), w, subgroupBroadcast(y, 2u));
                s3 = multiply_add(multiply_add(s3, v, subgroupBroadcast(x, 3u)), w, subgroupBroadcast(y, 3u));
                s4 = multiply_add(multiply_add(s4, v, subgroupBroadcast(x, 4u)), w, subgroupBroadcast(y, 4u));
                s5 = multiply_add(multiply_add(s5, v, subgroupBroadcast(x, 5u)), w, subgroupBroadcast(y, 5u));
                s6 = multiply_add(multiply_add(s6, v, subgroupBroadcast(x, 6u)), w, subgroupBroadcast(y, 6u));
                s7 = multiply_add(multiply_add(s7, v, subgroupBroadcast(x, 7u)), w, subgroupBroadcast(y, 7u));
                continuing {
                    k += 2u;
                    break if k >= params.units;
                }
            }
        }
        back[index] = s0;
        back[THREADS + index] = s1;
        back[2u * THREADS + index] = s2;
        back[3u * THREADS + index] = s3;
        back[4u * THREADS + index] = s4;
        back[5u * THREADS + index] = s5;
        back[6u * THREADS + index] = s6;
        back[7u * THREADS + index] = s7;
        for (var i = 0u; i < CLIPS * UNITS; i++) {
            let c = i / UNITS;
            let u = first + TOGETHER * (i % UNITS);
            if u < params.units && n + c < params.batch {
                let gradient = retreat(n + c, s - 1u, d, u, back[c * THREADS + index][i % UNITS]);
                d_gates[place_of(n + c, s - 1u, d, u)] = gradient;
            }
        }
        storageBarrier();
        continuing {
            s--;
            break if s <= params.begin;
        }
    }
}
