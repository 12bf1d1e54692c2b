// Gradient of a convolution to its weights and bias:
//     partial[o, i, r, t] = Σ_n,p d_output[n, o, p] · (scale[i] · input[n, i, line + r − above, p + t − before] + shift[i])
//     bias_partial[o] = Σ_n,p d_output[n, o, p]
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4. A line is a row of
// positions along the kernel, cut into segments. Each thread walks segments with a window of
// inputs in registers and keeps the sums of 4 × 4 channels × 9 taps; then the workgroup adds up.
// Workgroups: x the shares (each takes every x-th batch of 64 segments), y the output quads, z the
// input quads, for each the lines of the kernel, for each the runs of its taps.

struct Params {
    clips: u32,
    in_quads: u32,
    out_quads: u32,
    // Positions along and across the lines, and the distance between neighbours (in vec4).
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps before the centre.
    before: u32,
    // Lines that the kernel spans, and those before the centre.
    rows: u32,
    above: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4f>;
@group(0) @binding(2) var<storage, read> input: array<vec4f>;
// [2, in_quads]: scale, then shift.
@group(0) @binding(3) var<storage, read> affine: array<vec4f>;
// [shares, out_quads, in_quads, rows, taps, input channel of the quad] of vec4 over output channels
@group(0) @binding(4) var<storage, read_write> partial: array<vec4f>;
// [shares, out_quads]
@group(0) @binding(5) var<storage, read_write> bias_partial: array<vec4f>;

// Groups of three taps in a run of a line of the kernel: 1, 2 or 3.
override GROUPS = 3u;

const LANES = 64u;
// Positions of a segment at most.
const SEGMENT = 64u;

var<workgroup> sums: array<vec4f, 576>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = params.length * params.lines;
    let segments = (params.length + SEGMENT - 1u) / SEGMENT;
    let segment = (params.length + segments - 1u) / segments;
    let per_clip = segments * params.lines;
    let taps = 2u * params.before + 1u;
    let runs = groups.z / (params.in_quads * params.rows);
    let run = group.z % runs;
    let r = group.z / runs % params.rows;
    let quad = group.z / runs / params.rows;
    let before = i32(params.before) - i32(3u * GROUPS * run);
    let channels = source_of(quad);

    var b = vec4f();
    var t0x = vec4f();    var t0y = vec4f();    var t0z = vec4f();    var t0w = vec4f();
    var t1x = vec4f();    var t1y = vec4f();    var t1z = vec4f();    var t1w = vec4f();
    var t2x = vec4f();    var t2y = vec4f();    var t2z = vec4f();    var t2w = vec4f();
    var t3x = vec4f();    var t3y = vec4f();    var t3z = vec4f();    var t3w = vec4f();
    var t4x = vec4f();    var t4y = vec4f();    var t4z = vec4f();    var t4w = vec4f();
    var t5x = vec4f();    var t5y = vec4f();    var t5z = vec4f();    var t5w = vec4f();
    var t6x = vec4f();    var t6y = vec4f();    var t6z = vec4f();    var t6w = vec4f();
    var t7x = vec4f();    var t7y = vec4f();    var t7z = vec4f();    var t7w = vec4f();
    var t8x = vec4f();    var t8y = vec4f();    var t8z = vec4f();    var t8w = vec4f();

    for (
        var item = group.x * LANES + lane;
        item < params.clips * per_clip;
        item += groups.x * LANES
    ) {
        let clip = item / per_clip;
        let i = item % per_clip;
        // Neighbouring lanes take neighbouring memory.
        let line = select(i / segments, i % params.lines, params.across == 1u);
        let first = segment * select(i % segments, i / params.lines, params.across == 1u);
        let source = put_on_line(channels, clip, params.in_quads, quad, line, r);
        let d_row = (clip * params.out_quads + group.y) * plane + line * params.across;
        var at = i32(first) - before;
        var x0 = load(source, at);
        var x1 = load(source, at + 1);
        var x2 = vec4f(); var x3 = vec4f(); var x4 = vec4f();
        var x5 = vec4f(); var x6 = vec4f(); var x7 = vec4f();
        if GROUPS > 1u {
            x2 = load(source, at + 2);
            x3 = load(source, at + 3);
            x4 = load(source, at + 4);
        }
        if GROUPS > 2u {
            x5 = load(source, at + 5);
            x6 = load(source, at + 6);
            x7 = load(source, at + 7);
        }
        at += i32(3u * GROUPS) - 1;
        let end = min(first + segment, params.length);
        // Two positions at once: each sum is then loaded and stored half as often where registers
        // do not hold them all.
        var p = first;
        loop {
            let d0 = d_output[d_row + p * params.along];
            let last = min(p + 1u, params.length - 1u);
            let d1 = select(vec4f(), d_output[d_row + last * params.along], p + 1u < end);
            let n0 = load(source, at);
            let n1 = load(source, at + 1);
            b += d0 + d1;
            if GROUPS == 1u {
                x2 = n0;
                x3 = n1;
            } else if GROUPS == 2u {
                x5 = n0;
                x6 = n1;
            }
            t0x = fma(d1, x1.xxxx, fma(d0, x0.xxxx, t0x));
            t0y = fma(d1, x1.yyyy, fma(d0, x0.yyyy, t0y));
            t0z = fma(d1, x1.zzzz, fma(d0, x0.zzzz, t0z));
            t0w = fma(d1, x1.wwww, fma(d0, x0.wwww, t0w));
            t1x = fma(d1, x2.xxxx, fma(d0, x1.xxxx, t1x));
            t1y = fma(d1, x2.yyyy, fma(d0, x1.yyyy, t1y));
            t1z = fma(d1, x2.zzzz, fma(d0, x1.zzzz, t1z));
            t1w = fma(d1, x2.wwww, fma(d0, x1.wwww, t1w));
            t2x = fma(d1, x3.xxxx, fma(d0, x2.xxxx, t2x));
            t2y = fma(d1, x3.yyyy, fma(d0, x2.yyyy, t2y));
            t2z = fma(d1, x3.zzzz, fma(d0, x2.zzzz, t2z));
            t2w = fma(d1, x3.wwww, fma(d0, x2.wwww, t2w));
            if GROUPS > 1u {
                t3x = fma(d1, x4.xxxx, fma(d0, x3.xxxx, t3x));
                t3y = fma(d1, x4.yyyy, fma(d0, x3.yyyy, t3y));
                t3z = fma(d1, x4.zzzz, fma(d0, x3.zzzz, t3z));
                t3w = fma(d1, x4.wwww, fma(d0, x3.wwww, t3w));
                t4x = fma(d1, x5.xxxx, fma(d0, x4.xxxx, t4x));
                t4y = fma(d1, x5.yyyy, fma(d0, x4.yyyy, t4y));
                t4z = fma(d1, x5.zzzz, fma(d0, x4.zzzz, t4z));
                t4w = fma(d1, x5.wwww, fma(d0, x4.wwww, t4w));
                t5x = fma(d1, x6.xxxx, fma(d0, x5.xxxx, t5x));
                t5y = fma(d1, x6.yyyy, fma(d0, x5.yyyy, t5y));
                t5z = fma(d1, x6.zzzz, fma(d0, x5.zzzz, t5z));
                t5w = fma(d1, x6.wwww, fma(d0, x5.wwww, t5w));
            }
            let x8 = n0;
            let x9 = n1;
            if GROUPS > 2u {
                t6x = fma(d1, x7.xxxx, fma(d0, x6.xxxx, t6x));
                t6y = fma(d1, x7.yyyy, fma(d0, x6.yyyy, t6y));
                t6z = fma(d1, x7.zzzz, fma(d0, x6.zzzz, t6z));
                t6w = fma(d1, x7.wwww, fma(d0, x6.wwww, t6w));
                t7x = fma(d1, x8.xxxx, fma(d0, x7.xxxx, t7x));
                t7y = fma(d1, x8.yyyy, fma(d0, x7.yyyy, t7y));
                t7z = fma(d1, x8.zzzz, fma(d0, x7.zzzz, t7z));
                t7w = fma(d1, x8.wwww, fma(d0, x7.wwww, t7w));
                t8x = fma(d1, x9.xxxx, fma(d0, x8.xxxx, t8x));
                t8y = fma(d1, x9.yyyy, fma(d0, x8.yyyy, t8y));
                t8z = fma(d1, x9.zzzz, fma(d0, x8.zzzz, t8z));
                t8w = fma(d1, x9.wwww, fma(d0, x8.wwww, t8w));
            }
            x0 = x2; x1 = x3; x2 = x4; x3 = x5; x4 = x6; x5 = x7; x6 = x8; x7 = x9;
            at += 2;
            continuing {
                p += 2u;
                break if p >= end;
            }
        }
    }

    // One channel of the input quad after the other: lane t adds up tap t over the lanes that had a
    // segment.
    let busy = min(LANES, params.clips * per_clip - group.x * LANES);
    let row = ((group.x * params.out_quads + group.y) * params.in_quads + quad) * params.rows + r;
    let first_tap = 3u * GROUPS * run;
    let own = min(3u * GROUPS, taps - first_tap);
    for (var c = 0u; c < 4u; c++) {
        switch c {
            case 0u: {
                sums[0u * LANES + lane] = t0x;
                sums[1u * LANES + lane] = t1x;
                sums[2u * LANES + lane] = t2x;
                sums[3u * LANES + lane] = t3x;
                sums[4u * LANES + lane] = t4x;
                sums[5u * LANES + lane] = t5x;
                sums[6u * LANES + lane] = t6x;
                sums[7u * LANES + lane] = t7x;
                sums[8u * LANES + lane] = t8x;
            }
            case 1u: {
                sums[0u * LANES + lane] = t0y;
                sums[1u * LANES + lane] = t1y;
                sums[2u * LANES + lane] = t2y;
                sums[3u * LANES + lane] = t3y;
                sums[4u * LANES + lane] = t4y;
                sums[5u * LANES + lane] = t5y;
                sums[6u * LANES + lane] = t6y;
                sums[7u * LANES + lane] = t7y;
                sums[8u * LANES + lane] = t8y;
            }
            case 2u: {
                sums[0u * LANES + lane] = t0z;
                sums[1u * LANES + lane] = t1z;
                sums[2u * LANES + lane] = t2z;
                sums[3u * LANES + lane] = t3z;
                sums[4u * LANES + lane] = t4z;
                sums[5u * LANES + lane] = t5z;
                sums[6u * LANES + lane] = t6z;
                sums[7u * LANES + lane] = t7z;
                sums[8u * LANES + lane] = t8z;
            }
            default: {
                sums[0u * LANES + lane] = t0w;
                sums[1u * LANES + lane] = t1w;
                sums[2u * LANES + lane] = t2w;
                sums[3u * LANES + lane] = t3w;
                sums[4u * LANES + lane] = t4w;
                sums[5u * LANES + lane] = t5w;
                sums[6u * LANES + lane] = t6w;
                sums[7u * LANES + lane] = t7w;
                sums[8u * LANES + lane] = t8w;
            }
        }
        workgroupBarrier();
        if lane < own {
            var sum = vec4f();
            for (var k = 0u; k < busy; k++) {
                sum += sums[lane * LANES + k];
            }
            partial[(row * taps + first_tap + lane) * 4u + c] = sum;
        }
        workgroupBarrier();
    }

    // Every input quad, line and run sees the same bias gradient; the first one writes it.
    sums[lane] = b;
    workgroupBarrier();
    if lane == 0u && group.z == 0u {
        var sum = vec4f();
        for (var k = 0u; k < busy; k++) {
            sum += sums[k];
        }
        bias_partial[group.x * params.out_quads + group.y] = sum;
    }
}
