// layers/lstm/recurrence_forward for GPUs, which have threads to spare and a long way to memory. A workgroup
// of 256 threads owns all units of two clips n in one direction and walks alone. SPLIT threads share a
// unit: each takes every SPLIT-th eight of the products, so that eight loads are under way at once, and
// leaves its sums of the four gates in workgroup memory; then a thread finishes a unit of a clip.
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
// [units, 2, units] of (i, f, g, o)
@group(0) @binding(1) var<storage, read> packed_hh: array<vec4f>;
// [2, batch, steps, units] of (i, f, g, o)
@group(0) @binding(2) var<storage, read_write> gates: array<vec4f>;
// [2, batch, steps, units]
@group(0) @binding(3) var<storage, read_write> cells: array<f32>;
// [batch, steps, 2, units]
@group(0) @binding(4) var<storage, read_write> hidden: array<f32>;

// Threads that share a unit: 1, 2, 4 or 8; there are no more than 256 / SPLIT units.
override SPLIT = 2u;
const THREADS = 256u;
const CLIPS = 2u;
const MAX_UNITS = 256u;
// Products that a thread takes at a time.
const EIGHT = 8u;

// [CLIPS, MAX_UNITS]: h of the step before; zero past the last unit.
var<workgroup> state: array<f32, 512>;
// [CLIPS, THREADS] of (i, f, g, o)
var<workgroup> sums: array<vec4f, 512>;

// exp cannot overflow: beyond ±30 the function has long been at its bounds in f32.
fn sigmoid(x: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(-clamp(x, vec4f(-30.0), vec4f(30.0))));
}

fn hidden_index(n: u32, t: u32, d: u32, u: u32) -> u32 {
    return ((n * params.steps + t) * 2u + d) * params.units + u;
}

// One unit of clip n at step t, `before` being the step walked before: takes the recurrent sums, stores
// gates, c and h, returns h.
fn advance(n: u32, t: u32, before: u32, first: bool, d: u32, u: u32, sum: vec4f) -> f32 {
    let row = (d * params.batch + n) * params.steps;
    let at = (row + t) * params.units + u;
    let total = gates[at] + sum;
    let activated = sigmoid(total);
    let g = hyperbolic_tangent(vec4f(total.z)).x;
    var c = activated.x * g;
    if !first {
        c = fma(activated.y, cells[(row + before) * params.units + u], c);
    }
    let h = activated.w * hyperbolic_tangent(vec4f(c)).x;
    gates[at] = vec4f(activated.x, activated.y, g, activated.w);
    cells[at] = c;
    hidden[hidden_index(n, t, d, u)] = h;
    return h;
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
    var before = select(params.begin - 1u, params.steps - params.begin, d == 1u);
    for (var i = index; i < CLIPS * MAX_UNITS; i += THREADS) {
        let u = i % MAX_UNITS;
        var h = 0.0;
        if params.begin > 0u && u < units {
            h = hidden[hidden_index(min(n + i / MAX_UNITS, params.batch - 1u), before, d, u)];
        }
        state[i] = h;
    }
    workgroupBarrier();

    var s = params.begin;
    loop {
        let t = select(s, params.steps - 1u - s, d == 1u);
        // At the first step of all there is no h to multiply with.
        let terms = select(units, 0u, s == 0u);
        var a = vec4f();
        var b = vec4f();
        for (var k = EIGHT * part; k < terms; k += EIGHT * SPLIT) {
            // Past the last unit h is zero.
            let w0 = packed_hh[(2u * min(k, units - 1u) + d) * units + unit];
            let w1 = packed_hh[(2u * min(k + 1u, units - 1u) + d) * units + unit];
            let w2 = packed_hh[(2u * min(k + 2u, units - 1u) + d) * units + unit];
            let w3 = packed_hh[(2u * min(k + 3u, units - 1u) + d) * units + unit];
            let w4 = packed_hh[(2u * min(k + 4u, units - 1u) + d) * units + unit];
            let w5 = packed_hh[(2u * min(k + 5u, units - 1u) + d) * units + unit];
            let w6 = packed_hh[(2u * min(k + 6u, units - 1u) + d) * units + unit];
            let w7 = packed_hh[(2u * min(k + 7u, units - 1u) + d) * units + unit];
            a = fma(w0, vec4f(state[k]), a);
            a = fma(w1, vec4f(state[k + 1u]), a);
            a = fma(w2, vec4f(state[k + 2u]), a);
            a = fma(w3, vec4f(state[k + 3u]), a);
            a = fma(w4, vec4f(state[k + 4u]), a);
            a = fma(w5, vec4f(state[k + 5u]), a);
            a = fma(w6, vec4f(state[k + 6u]), a);
            a = fma(w7, vec4f(state[k + 7u]), a);
            b = fma(w0, vec4f(state[MAX_UNITS + k]), b);
            b = fma(w1, vec4f(state[MAX_UNITS + k + 1u]), b);
            b = fma(w2, vec4f(state[MAX_UNITS + k + 2u]), b);
            b = fma(w3, vec4f(state[MAX_UNITS + k + 3u]), b);
            b = fma(w4, vec4f(state[MAX_UNITS + k + 4u]), b);
            b = fma(w5, vec4f(state[MAX_UNITS + k + 5u]), b);
            b = fma(w6, vec4f(state[MAX_UNITS + k + 6u]), b);
            b = fma(w7, vec4f(state[MAX_UNITS + k + 7u]), b);
        }
        sums[index] = a;
        sums[THREADS + index] = b;
        workgroupBarrier();
        for (var i = index; i < CLIPS * width; i += THREADS) {
            let clip = i / width;
            let u = i % width;
            if u < units && n + clip < params.batch {
                var sum = vec4f();
                for (var p = 0u; p < SPLIT; p++) {
                    sum += sums[clip * THREADS + p * width + u];
                }
                state[clip * MAX_UNITS + u] = advance(n + clip, t, before, s == 0u, d, u, sum);
            }
        }
        workgroupBarrier();
        before = t;
        continuing {
            s++;
            break if s >= params.end;
        }
    }
}
