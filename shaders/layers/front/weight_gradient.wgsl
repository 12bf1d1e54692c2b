// Gradient of a bank of filters to its weights and bias:
//     partial[o, k, l] = Σ_n,f,t gradient[n, o, f, t] · x[n, f + k, t + l − before]
//     partial[o, taps · rows] = Σ_n,f,t gradient[n, o, f, t]
//
// A line is a row of positions along the kernel's longer axis, over frequency where it is VERTICAL,
// cut into segments. Each thread walks segments with a window of inputs in registers and keeps the
// sums of 4 channels × 16 taps; then the workgroup adds up.
// Workgroups: x the shares (each takes every x-th batch of 64 segments), y the quads, z the lines of
// the kernel, for each the runs of its taps.

struct Params {
    // Clips of this launch, the first of them, and all that the tensors hold.
    clips: u32,
    first_clip: u32,
    batch: u32,
    out_channels: u32,
    // Positions of the input along and across the lines, and the distance between neighbours.
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // The same of the output.
    out_length: u32,
    out_lines: u32,
    // Taps along a line, and those before the position.
    taps: u32,
    before: u32,
    // Lines that the kernel spans, and those before the position.
    rows: u32,
    above: u32,
    // What standardises the input.
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, out_quads, frequencies, steps]
@group(0) @binding(1) var<storage, read> gradient: array<vec4f>;
// [batch, bands, steps]
@group(0) @binding(2) var<storage, read> input: array<f32>;
// [shares, out_quads, taps · rows + 1]: the taps as they are stored, then the bias
@group(0) @binding(3) var<storage, read_write> partial: array<vec4f>;

override VERTICAL = true;

const LANES = 64u;
const TAPS = 16u;
// Positions of a segment at most.
const SEGMENT = 64u;

var<workgroup> sums: array<vec4f, 512>;

// Adds up eight taps of the run that begins at `first`, over the lanes that had a segment.
fn put(lane: u32, busy: u32, quad_at: u32, r: u32, first: u32) {
    workgroupBarrier();
    let tap = first + lane;
    if lane < 8u && tap < params.taps {
        var sum = vec4f();
        for (var k = 0u; k < busy; k++) {
            sum += sums[lane * LANES + k];
        }
        partial[quad_at + select(r * params.taps + tap, tap * params.rows + r, VERTICAL)] = sum;
    }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = groups.y;
    let segments = (params.out_length + SEGMENT - 1u) / SEGMENT;
    let segment = (params.out_length + segments - 1u) / segments;
    let per_clip = segments * params.out_lines;
    let runs = groups.z / params.rows;
    let r = group.z / runs;
    let run = group.z % runs;
    let along = select(1u, params.out_lines, VERTICAL);
    let across = select(params.out_length, 1u, VERTICAL);

    var b = vec4f();
    var t0 = vec4f(); var t1 = vec4f(); var t2 = vec4f(); var t3 = vec4f();
    var t4 = vec4f(); var t5 = vec4f(); var t6 = vec4f(); var t7 = vec4f();
    var t8 = vec4f(); var t9 = vec4f(); var t10 = vec4f(); var t11 = vec4f();
    var t12 = vec4f(); var t13 = vec4f(); var t14 = vec4f(); var t15 = vec4f();

    for (
        var item = group.x * LANES + lane;
        item < params.clips * per_clip;
        item += groups.x * LANES
    ) {
        let clip = item / per_clip;
        let i = item % per_clip;
        // Neighbouring lanes take neighbouring memory.
        let line = select(i / segments, i % params.out_lines, VERTICAL);
        let first = segment * select(i % segments, i / params.out_lines, VERTICAL);
        let source = line_of(params.first_clip + clip, line, r);
        let d_row = (clip * quads + group.y) * params.out_length * params.out_lines + line * across;
        var at = i32(first + TAPS * run) - i32(params.before);
        var x0 = load(source, at);
        var x1 = load(source, at + 1);
        var x2 = load(source, at + 2);
        var x3 = load(source, at + 3);
        var x4 = load(source, at + 4);
        var x5 = load(source, at + 5);
        var x6 = load(source, at + 6);
        var x7 = load(source, at + 7);
        var x8 = load(source, at + 8);
        var x9 = load(source, at + 9);
        var x10 = load(source, at + 10);
        var x11 = load(source, at + 11);
        var x12 = load(source, at + 12);
        var x13 = load(source, at + 13);
        var x14 = load(source, at + 14);
        let end = min(first + segment, params.out_length);
        // Two positions at once: each sum is then loaded and stored half as often where registers do
        // not hold them all.
        var p = first;
        loop {
            let d0 = gradient[d_row + p * along];
            let last = min(p + 1u, params.out_length - 1u);
            let d1 = select(vec4f(), gradient[d_row + last * along], p + 1u < end);
            let x15 = load(source, at + 15);
            let x16 = load(source, at + 16);
            b += d0 + d1;
            t0 = fma(d1, vec4f(x1), fma(d0, vec4f(x0), t0));
            t1 = fma(d1, vec4f(x2), fma(d0, vec4f(x1), t1));
            t2 = fma(d1, vec4f(x3), fma(d0, vec4f(x2), t2));
            t3 = fma(d1, vec4f(x4), fma(d0, vec4f(x3), t3));
            t4 = fma(d1, vec4f(x5), fma(d0, vec4f(x4), t4));
            t5 = fma(d1, vec4f(x6), fma(d0, vec4f(x5), t5));
            t6 = fma(d1, vec4f(x7), fma(d0, vec4f(x6), t6));
            t7 = fma(d1, vec4f(x8), fma(d0, vec4f(x7), t7));
            t8 = fma(d1, vec4f(x9), fma(d0, vec4f(x8), t8));
            t9 = fma(d1, vec4f(x10), fma(d0, vec4f(x9), t9));
            t10 = fma(d1, vec4f(x11), fma(d0, vec4f(x10), t10));
            t11 = fma(d1, vec4f(x12), fma(d0, vec4f(x11), t11));
            t12 = fma(d1, vec4f(x13), fma(d0, vec4f(x12), t12));
            t13 = fma(d1, vec4f(x14), fma(d0, vec4f(x13), t13));
            t14 = fma(d1, vec4f(x15), fma(d0, vec4f(x14), t14));
            t15 = fma(d1, vec4f(x16), fma(d0, vec4f(x15), t15));
            x0 = x2; x1 = x3; x2 = x4; x3 = x5; x4 = x6;
            x5 = x7; x6 = x8; x7 = x9; x8 = x10; x9 = x11;
            x10 = x12; x11 = x13; x12 = x14; x13 = x15; x14 = x16;
            at += 2;
            continuing {
                p += 2u;
                break if p >= end;
            }
        }
    }

    let busy = min(LANES, params.clips * per_clip - group.x * LANES);
    let columns = params.taps * params.rows + 1u;
    let quad_at = (group.x * quads + group.y) * columns;
    sums[0u * LANES + lane] = t0;
    sums[1u * LANES + lane] = t1;
    sums[2u * LANES + lane] = t2;
    sums[3u * LANES + lane] = t3;
    sums[4u * LANES + lane] = t4;
    sums[5u * LANES + lane] = t5;
    sums[6u * LANES + lane] = t6;
    sums[7u * LANES + lane] = t7;
    put(lane, busy, quad_at, r, TAPS * run);
    sums[0u * LANES + lane] = t8;
    sums[1u * LANES + lane] = t9;
    sums[2u * LANES + lane] = t10;
    sums[3u * LANES + lane] = t11;
    sums[4u * LANES + lane] = t12;
    sums[5u * LANES + lane] = t13;
    sums[6u * LANES + lane] = t14;
    sums[7u * LANES + lane] = t15;
    put(lane, busy, quad_at, r, TAPS * run + 8u);
    // Every line and run sees the same bias gradient; the first one writes it.
    sums[lane] = b;
    workgroupBarrier();
    if lane == 0u && group.z == 0u {
        var sum = vec4f();
        for (var k = 0u; k < busy; k++) {
            sum += sums[k];
        }
        partial[quad_at + columns - 1u] = sum;
    }
}
