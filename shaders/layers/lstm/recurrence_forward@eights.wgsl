// layers/lstm/recurrence_forward for a software adapter whose subgroups have eight threads. A workgroup owns all
// units of eight clips n in one direction and walks alone; a thread owns a unit. Of h of the step before, each of a
// subgroup's threads loads one clip's, and hands it to the others. h lies in workgroup memory, in two halves that
// swap roles, so that one barrier a step suffices.
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
// [units, 2, units] of (i, f, g, o)
@group(0) @binding(1) var<storage, read> packed_hh: array<vec4f>;
// [2, batch, steps, units] of (i, f, g, o)
@group(0) @binding(2) var<storage, read_write> gates: array<vec4f>;
// [2, batch, steps, units]
@group(0) @binding(3) var<storage, read_write> cells: array<f32>;
// [batch, steps, 2, units]
@group(0) @binding(4) var<storage, read_write> hidden: array<f32>;

override THREADS = 128u;
const CLIPS = 8u;
const TOGETHER = 8u;
const MAX_UNITS = 256u;
// Between the halves of the state.
const CHANGE = CLIPS * MAX_UNITS;

// [2, CLIPS, MAX_UNITS]
var<workgroup> state: array<f32, 4096>;

// The weights from unit k to the four gates of this thread's unit; past the last unit nothing.
fn weights_of(d: u32, k: u32, unit: u32) -> vec4f {
    let at = (2u * min(k, params.units - 1u) + d) * params.units + unit;
    return select(vec4f(), packed_hh[at], k < params.units);
}

// h of four clips from n on, in the state from `at` on.
fn remember(at: u32, h: vec4f) {
    state[at] = h.x;
    state[at + MAX_UNITS] = h.y;
    state[at + 2u * MAX_UNITS] = h.z;
    state[at + 3u * MAX_UNITS] = h.w;
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
    let own = (subgroupBroadcastFirst(index) / TOGETHER) * TOGETHER + lane;
    // Threads past the last unit repeat it, and keep nothing.
    let unit = min(own, edge);
    var half = 0u;
    var before = select(params.begin - 1u, params.steps - params.begin, d == 1u);
    if params.begin > 0u {
        for (var c = 0u; c < CLIPS; c++) {
            let clip = min(n + c, params.batch - 1u);
            state[c * MAX_UNITS + unit] = hidden[hidden_index(clip, before, d, unit)];
        }
    }
    workgroupBarrier();

    var s = params.begin;
    loop {
        let t = select(s, params.steps - 1u - s, d == 1u);
        // Of each clip the sums of gates (i, f, g, o).
        var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
        var s4 = vec4f(); var s5 = vec4f(); var s6 = vec4f(); var s7 = vec4f();
        // At the first step of all there is no h to multiply with.
        if s > 0u {
            let clip = half + lane * MAX_UNITS;
            var k = 0u;
            loop {
                let quads = mat4x4f(
                    weights_of(d, k, unit),
                    weights_of(d, k + 1u, unit),
                    weights_of(d, k + 2u, unit),
                    weights_of(d, k + 3u, unit),
                );
                let x = vec4f(
                    state[clip + k],
                    state[clip + min(k + 1u, edge)],
                    state[clip + min(k + 2u, edge)],
                    state[clip + min(k + 3u, edge)],
                );
                s0 = multiply_add(s0, quads, subgroupBroadcast(x, 0u));
                s1 = multiply_add(s1, quads, subgroupBroadcast(x, 1u));
                s2 = multiply_add(s2, quads, subgroupBroadcast(x, 2u));
                s3 = multiply_add(s3, quads, subgroupBroadcast(x, 3u));
                s4 = multiply_add(s4, quads, subgroupBroadcast(x, 4u));
                s5 = multiply_add(s5, quads, subgroupBroadcast(x, 5u));
                s6 = multiply_add(s6, quads, subgroupBroadcast(x, 6u));
                s7 = multiply_add(s7, quads, subgroupBroadcast(x, 7u));
                continuing {
                    k += 4u;
                    break if k >= params.units;
                }
            }
        }
        let next = CHANGE - half;
        if own < params.units {
            // In a loop, and not twice, which would be twice as much to compile.
            var c = 0u;
            loop {
                let later = c > 0u;
                let sums = transpose(mat4x4f(
                    select(s0, s4, later),
                    select(s1, s5, later),
                    select(s2, s6, later),
                    select(s3, s7, later),
                ));
                let h = advance(
                    n + c, t, before, s == 0u, d, unit, sums[0], sums[1], sums[2], sums[3],
                );
                remember(next + c * MAX_UNITS + unit, h);
                continuing {
                    c += 4u;
                    break if c >= CLIPS;
                }
            }
        }
        workgroupBarrier();
        half = next;
        before = t;
        continuing {
            s++;
            break if s >= params.end;
        }
    }
}
