// The recurrence of an LSTM in both directions d, for the walk steps s in [begin, end). Direction 0
// walks the steps t upwards (t = s), direction 1 downwards (t = steps − 1 − s). With t' the step
// walked before and σ the logistic function:
//     gates[d, n, t] += weight_hh[d] · h[n, t']
//     i, f, o = σ(gates i, f, o), g = tanh(gates g), stored in place of the sums
//     c[n, t] = f · c[n, t'] + i · g
//     h[n, t] = o · tanh(c[n, t])
// and c = h = 0 before the first step. A walk may be split over several launches.
//
// A workgroup owns all units of 8 clips n in one direction and walks alone; a thread owns the
// units lane and lane + THREADS. h of the step before lies in workgroup memory, in two halves that
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
const ROWS = 8u;
const MAX_UNITS = 256u;
// Between the halves of the state.
const CHANGE = 2u * MAX_UNITS;

// [2, MAX_UNITS, 2] of four clips each.
var<workgroup> state: array<vec4f, 1024>;

// h of four clips from n on after step t.
fn recall(n: u32, t: u32, d: u32, u: u32) -> vec4f {
    let last = params.batch - 1u;
    return vec4f(
        hidden[hidden_index(min(n, last), t, d, u)],
        hidden[hidden_index(min(n + 1u, last), t, d, u)],
        hidden[hidden_index(min(n + 2u, last), t, d, u)],
        hidden[hidden_index(min(n + 3u, last), t, d, u)],
    );
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let n = group.x * ROWS;
    let direction = group.y;
    let units = params.units;
    // A tile's missing units repeat the last one.
    let first = min(lane, units - 1u);
    let second = min(lane + THREADS, units - 1u);
    var half = 0u;
    var before = select(params.begin - 1u, params.steps - params.begin, direction == 1u);
    if params.begin > 0u {
        for (var u = lane; u < units; u += THREADS) {
            state[2u * u] = recall(n, before, direction, u);
            state[2u * u + 1u] = recall(n + 4u, before, direction, u);
        }
    }
    workgroupBarrier();

    var s = params.begin;
    loop {
        let t = select(s, params.steps - 1u - s, direction == 1u);
        // At the first step of all there is no h to multiply with.
        let terms = select(units, 0u, s == 0u);
        // Sums of gate i, f, g, o of the first unit for clips 0 to 3 (a) and 4 to 7 (b), and of
        // the second (c, d).
        var ia = vec4f(); var fa = vec4f(); var ga = vec4f(); var oa = vec4f();
        var ib = vec4f(); var fb = vec4f(); var gb = vec4f(); var ob = vec4f();
        var ic = vec4f(); var fc = vec4f(); var gc = vec4f(); var oc = vec4f();
        var id = vec4f(); var fd = vec4f(); var gd = vec4f(); var od = vec4f();
        for (var k = 0u; k < terms; k++) {
            let weights = (2u * k + direction) * units;
            let v = packed_hh[weights + first];
            let w = packed_hh[weights + second];
            let h = state[half + 2u * k];
            let l = state[half + 2u * k + 1u];
            ia = fma(v.xxxx, h, ia); ib = fma(v.xxxx, l, ib);
            ic = fma(w.xxxx, h, ic); id = fma(w.xxxx, l, id);
            fa = fma(v.yyyy, h, fa); fb = fma(v.yyyy, l, fb);
            fc = fma(w.yyyy, h, fc); fd = fma(w.yyyy, l, fd);
            ga = fma(v.zzzz, h, ga); gb = fma(v.zzzz, l, gb);
            gc = fma(w.zzzz, h, gc); gd = fma(w.zzzz, l, gd);
            oa = fma(v.wwww, h, oa); ob = fma(v.wwww, l, ob);
            oc = fma(w.wwww, h, oc); od = fma(w.wwww, l, od);
        }
        let next = CHANGE - half;
        var unit = lane;
        if lane < units {
            loop {
                let other = unit != lane;
                let at = next + 2u * unit;
                state[at] = advance(
                    n, t, before, s == 0u, direction, unit,
                    select(ia, ic, other), select(fa, fc, other),
                    select(ga, gc, other), select(oa, oc, other),
                );
                state[at + 1u] = advance(
                    n + 4u, t, before, s == 0u, direction, unit,
                    select(ib, id, other), select(fb, fd, other),
                    select(gb, gd, other), select(ob, od, other),
                );
                continuing {
                    unit += THREADS;
                    break if unit >= units;
                }
            }
        }
        workgroupBarrier();
        half = CHANGE - half;
        before = t;
        continuing {
            s++;
            break if s >= params.end;
        }
    }
}
