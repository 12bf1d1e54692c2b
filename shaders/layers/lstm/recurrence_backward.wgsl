// Gradient through the recurrence of an LSTM in both directions d, for the walk steps s in
// [begin, end), last step first (walk steps as in recurrence_forward). With t" the step walked
// after t and t' the one before:
//     dh = d_hidden[n, t] + weight_hh[d]ᵀ · d_gates[d, n, t"]
//     dc = dh · o · (1 − tanh²(c[n, t])) + f[n, t"] · dc[n, t"]
//     d_gates i = dc · g · i (1 − i)            d_gates f = dc · c[n, t'] · f (1 − f)
//     d_gates g = dc · i · (1 − g²)             d_gates o = dh · tanh(c) · o (1 − o)
// and what has vanished is 0.
// d_gates is the gradient to the gates before activation. What a step leaves to the one before is
// f · dc in `carry` and d_gates itself, so a walk may be split over several launches.
//
// A workgroup owns all units of 8 clips n in one direction and walks alone; a thread owns the
// eight units u ≡ lane modulo THREADS and sums two gates at a time: with all four, a software
// adapter compiles twice as long. d_gates of the step after is read from the storage where it was
// just written: one barrier a step.
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
// [2, batch, steps, units] of (i, f), (g, o)
@group(0) @binding(6) var<storage, read_write> d_gates: array<vec2f>;

override THREADS = 32u;
const ROWS = 8u;

// Leaves what is sent back in d_gates, from the clip's row at this step on.
fn leave(n: u32, row: u32, u: u32, a: vec4f, b: vec4f) {
    if n >= params.batch {
        return;
    }
    let at = 2u * (row + u);
    if u < params.units { d_gates[at].x = a.x; }
    if u + THREADS < params.units { d_gates[at + 2u * THREADS].x = a.y; }
    if u + 2u * THREADS < params.units { d_gates[at + 4u * THREADS].x = a.z; }
    if u + 3u * THREADS < params.units { d_gates[at + 6u * THREADS].x = a.w; }
    if u + 4u * THREADS < params.units { d_gates[at + 8u * THREADS].x = b.x; }
    if u + 5u * THREADS < params.units { d_gates[at + 10u * THREADS].x = b.y; }
    if u + 6u * THREADS < params.units { d_gates[at + 12u * THREADS].x = b.z; }
    if u + 7u * THREADS < params.units { d_gates[at + 14u * THREADS].x = b.w; }
}

fn weight_at(at: u32) -> f32 {
    return weight_hh[at];
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let d = group.y;
    let units = params.units;
    let n = group.x * ROWS;
    // A tile's missing units repeat the last one.
    let edge = units - 1u;
    let u0 = min(lane, edge);
    let u1 = min(lane + THREADS, edge);
    let u2 = min(lane + 2u * THREADS, edge);
    let u3 = min(lane + 3u * THREADS, edge);
    let u4 = min(lane + 4u * THREADS, edge);
    let u5 = min(lane + 5u * THREADS, edge);
    let u6 = min(lane + 6u * THREADS, edge);
    let u7 = min(lane + 7u * THREADS, edge);
    // Where the clips lie in d_gates; a tile's missing clips read the last one.
    let last = params.batch - 1u;
    let stride = params.steps * units;
    let clip0 = (d * params.batch + min(n, last)) * stride;
    let clip1 = (d * params.batch + min(n + 1u, last)) * stride;
    let clip2 = (d * params.batch + min(n + 2u, last)) * stride;
    let clip3 = (d * params.batch + min(n + 3u, last)) * stride;
    let clip4 = (d * params.batch + min(n + 4u, last)) * stride;
    let clip5 = (d * params.batch + min(n + 5u, last)) * stride;
    let clip6 = (d * params.batch + min(n + 6u, last)) * stride;
    let clip7 = (d * params.batch + min(n + 7u, last)) * stride;

    for (var s = params.end; s > params.begin; s--) {
        // Walk step s − 1 is computed; s is the one after it, if there is one.
        let terms = select(2u * units, 0u, s == params.steps);
        let after = select(s, params.steps - 1u - s, d == 1u) * units;
        let now = select(s - 1u, params.steps - s, d == 1u) * units;
        // What the step after sends back: of each clip, units 0 to 3 (a) and 4 to 7 (b).
        var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
        var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
        var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
        var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();
        for (var k = 0u; k < terms; k++) {
            let weights = ((4u * d + 2u * (k % 2u)) * units + k / 2u) * units;
            let v = load(weights, units * units, u0, u1, u2, u3);
            let w = load(weights, units * units, u4, u5, u6, u7);
            let g0 = d_gates[2u * (clip0 + after) + k];
            a0 = multiply_add(a0, v, g0);
            b0 = multiply_add(b0, w, g0);
            let g1 = d_gates[2u * (clip1 + after) + k];
            a1 = multiply_add(a1, v, g1);
            b1 = multiply_add(b1, w, g1);
            let g2 = d_gates[2u * (clip2 + after) + k];
            a2 = multiply_add(a2, v, g2);
            b2 = multiply_add(b2, w, g2);
            let g3 = d_gates[2u * (clip3 + after) + k];
            a3 = multiply_add(a3, v, g3);
            b3 = multiply_add(b3, w, g3);
            let g4 = d_gates[2u * (clip4 + after) + k];
            a4 = multiply_add(a4, v, g4);
            b4 = multiply_add(b4, w, g4);
            let g5 = d_gates[2u * (clip5 + after) + k];
            a5 = multiply_add(a5, v, g5);
            b5 = multiply_add(b5, w, g5);
            let g6 = d_gates[2u * (clip6 + after) + k];
            a6 = multiply_add(a6, v, g6);
            b6 = multiply_add(b6, w, g6);
            let g7 = d_gates[2u * (clip7 + after) + k];
            a7 = multiply_add(a7, v, g7);
            b7 = multiply_add(b7, w, g7);
        }
        if terms > 0u {
            leave(n, clip0 + now, lane, a0, b0);
            leave(n + 1u, clip1 + now, lane, a1, b1);
            leave(n + 2u, clip2 + now, lane, a2, b2);
            leave(n + 3u, clip3 + now, lane, a3, b3);
            leave(n + 4u, clip4 + now, lane, a4, b4);
            leave(n + 5u, clip5 + now, lane, a5, b5);
            leave(n + 6u, clip6 + now, lane, a6, b6);
            leave(n + 7u, clip7 + now, lane, a7, b7);
        }
        for (var clip = n; clip < min(n + ROWS, params.batch); clip++) {
            for (var u = lane; u < units; u += THREADS) {
                let at = place_of(clip, s - 1u, d, u);
                var back = 0.0;
                if terms > 0u {
                    back = d_gates[2u * at].x;
                }
                let gradient = retreat(clip, s - 1u, d, u, back);
                d_gates[2u * at] = gradient.xy;
                d_gates[2u * at + 1u] = gradient.zw;
            }
        }
        storageBarrier();
    }
}
