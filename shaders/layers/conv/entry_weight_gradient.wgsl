// Gradient of a branch's first convolution to its weights and bias, summed over a share of the
// lines of a slice of clips:
//     partial[split, o, t] = Σ_n,p d_output[n, o, p] · input[n, p + t − before],  t < 9
//     partial[split, o, 9] = Σ_n,p d_output[n, o, p]
//
// The input is [clip, band, step]; the gradient holds channels in quads: [clip, channel/4, band,
// step] of vec4. Each thread walks segments of lines with a window of inputs in registers; then
// the workgroup adds up. Workgroups: x the splits, y the output quads. The splits of all slices
// follow each other.

struct Params {
    batch: u32,
    first_clip: u32,
    clips: u32,
    out_quads: u32,
    // Positions along and across the lines, and the distance between neighbours.
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps before the centre.
    before: u32,
    // Positions of a segment, segments of a line.
    segment: u32,
    segments: u32,
    // Splits in all, and the first one of this slice.
    splits: u32,
    first_split: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, out_quads, bands, steps]
@group(0) @binding(1) var<storage, read> d_output: array<vec4f>;
// [batch, bands, steps]
@group(0) @binding(2) var<storage, read> input: array<f32>;
// [splits, out_quads, 10]
@group(0) @binding(3) var<storage, read_write> partial: array<vec4f>;

const LANES = 64u;

var<workgroup> sums: array<vec4f, 640>;

// The input at a position of a line; zero outside.
fn load(row: u32, position: i32) -> f32 {
    let inside = position >= 0 && position < i32(params.length);
    let value = input[row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along];
    return select(0.0, value, inside);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = params.length * params.lines;
    let per_clip = params.segments * params.lines;

    var t0 = vec4f();
    var t1 = vec4f();
    var t2 = vec4f();
    var t3 = vec4f();
    var t4 = vec4f();
    var t5 = vec4f();
    var t6 = vec4f();
    var t7 = vec4f();
    var t8 = vec4f();
    var t9 = vec4f();

    for (
        var item = group.x * LANES + lane;
        item < params.clips * per_clip;
        item += groups.x * LANES
    ) {
        let clip = item / per_clip;
        let i = item % per_clip;
        // Neighbouring lanes take neighbouring memory.
        let line = select(i / params.segments, i % params.lines, params.across == 1u);
        let first = params.segment * select(i % params.segments, i / params.lines, params.across == 1u);
        let x_row = (params.first_clip + clip) * plane + line * params.across;
        let d_row = (clip * params.out_quads + group.y) * plane + line * params.across;
        var at = i32(first) - i32(params.before);
        var x0 = load(x_row, at + 0);
        var x1 = load(x_row, at + 1);
        var x2 = load(x_row, at + 2);
        var x3 = load(x_row, at + 3);
        var x4 = load(x_row, at + 4);
        var x5 = load(x_row, at + 5);
        var x6 = load(x_row, at + 6);
        var x7 = load(x_row, at + 7);
        at += 8;
        let end = min(first + params.segment, params.length);
        for (var p = first; p < end; p++) {
            let d = d_output[d_row + p * params.along];
            let x8 = load(x_row, at);
            t0 = fma(d, vec4f(x0), t0);
            t1 = fma(d, vec4f(x1), t1);
            t2 = fma(d, vec4f(x2), t2);
            t3 = fma(d, vec4f(x3), t3);
            t4 = fma(d, vec4f(x4), t4);
            t5 = fma(d, vec4f(x5), t5);
            t6 = fma(d, vec4f(x6), t6);
            t7 = fma(d, vec4f(x7), t7);
            t8 = fma(d, vec4f(x8), t8);
            t9 += d;
            x0 = x1; x1 = x2; x2 = x3; x3 = x4; x4 = x5; x5 = x6; x6 = x7; x7 = x8;
            at += 1;
        }
    }

    sums[0u * LANES + lane] = t0;
    sums[1u * LANES + lane] = t1;
    sums[2u * LANES + lane] = t2;
    sums[3u * LANES + lane] = t3;
    sums[4u * LANES + lane] = t4;
    sums[5u * LANES + lane] = t5;
    sums[6u * LANES + lane] = t6;
    sums[7u * LANES + lane] = t7;
    sums[8u * LANES + lane] = t8;
    sums[9u * LANES + lane] = t9;
    workgroupBarrier();
    if lane < 10u {
        var sum = vec4f();
        for (var k = 0u; k < LANES; k++) {
            sum += sums[lane * LANES + k];
        }
        partial[((params.first_split + group.x) * params.out_quads + group.y) * 10u + lane] = sum;
    }
}
