// layers/conv/weight_gradient for a software adapter whose subgroups have eight threads. A load costs there
// as much as twelve multiply-adds, so a thread keeps one output channel, and the inputs, which are then the
// same for all eight, are loaded by all of them together: of a position, each loads one of eight channels,
// and hands it to the others. A load so serves 36 multiply-adds.
//
// Workgroups: x the shares (each takes every x-th batch of eight segments, one for each subgroup), y the
// pairs of output quads, z the pairs of input quads, for each the lines of the kernel, for each the runs
// of its taps. The piece `four_lanes` goes with this file.

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
// [clip, out_quads, plane, 4]
@group(0) @binding(1) var<storage, read> d_output: array<f32>;
// [clip, in_quads, plane, 4]
@group(0) @binding(2) var<storage, read> input: array<f32>;
// [2, in_quads, 4]: scale, then shift.
@group(0) @binding(3) var<storage, read> affine: array<f32>;
// [shares, out_quads, in_quads, rows, taps, 4 (in), 4 (out)]
@group(0) @binding(4) var<storage, read_write> partial: array<f32>;
// [shares, out_quads, 4]
@group(0) @binding(5) var<storage, read_write> bias_partial: array<f32>;

// Groups of three taps in a run of a line of the kernel: 1, 2 or 3.
override GROUPS = 3u;

const LANES = 64u;
// Threads of a subgroup.
const TOGETHER = 8u;
// Positions of a segment at most.
const SEGMENT = 64u;
// Of a run; the first have no tap where GROUPS is less than 3.
const SLOTS = 9u;

// For each slot and thread, over the input channels of a quad.
var<workgroup> sums: array<vec4f, 576>;

// Of the input, as this thread reads it: its channel, and the line.
struct Source {
    channel: u32,
    row: u32,
    limit: i32,
    scale: f32,
    shift: f32,
}

// What this thread loads of a position, scaled and shifted by batch norm; zero outside.
fn load(source: Source, position: i32) -> f32 {
    let inside = position >= 0 && position < source.limit;
    let at = source.row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along;
    return select(0.0, fma(input[4u * at + source.channel], source.scale, source.shift), inside);
}

// What the second four lanes have; `of_four_lanes` is what the first have.
fn second_quad(own: f32) -> vec4f {
    return vec4f(
        subgroupBroadcast(own, 4u),
        subgroupBroadcast(own, 5u),
        subgroupBroadcast(own, 6u),
        subgroupBroadcast(own, 7u),
    );
}

fn multiply_add(sum: vec4f, d: vec4f, x0: vec4f, x1: vec4f, x2: vec4f, x3: vec4f) -> vec4f {
    return fma(d.wwww, x3, fma(d.zzzz, x2, fma(d.yyyy, x1, fma(d.xxxx, x0, sum))));
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = subgroupExclusiveAdd(1u);
    let subgroup = subgroupBroadcastFirst(index) / TOGETHER;

    let plane = params.length * params.lines;
    let segments = (params.length + SEGMENT - 1u) / SEGMENT;
    let segment = (params.length + segments - 1u) / segments;
    let per_clip = segments * params.lines;
    let items = params.clips * per_clip;
    let taps = 2u * params.before + 1u;
    let in_pairs = (params.in_quads + 1u) / 2u;
    let runs = groups.z / (in_pairs * params.rows);
    let run = group.z % runs;
    let r = group.z / runs % params.rows;
    let pair = group.z / runs / params.rows;
    // The last pair may have one quad only: the other threads then repeat it, and write nothing.
    let in_quad = min(2u * pair + lane / 4u, params.in_quads - 1u);
    let out_quad = min(2u * group.y + lane / 4u, params.out_quads - 1u);
    let unused = i32(SLOTS - 3u * GROUPS);
    let before = i32(params.before) - i32(3u * GROUPS * run) + unused;
    let scale = affine[4u * in_quad + lane % 4u];
    let shift = affine[4u * (params.in_quads + in_quad) + lane % 4u];

    var b = 0.0;
    var t0 = vec4f();
    var t1 = vec4f();
    var t2 = vec4f();
    var t3 = vec4f();
    var t4 = vec4f();
    var t5 = vec4f();
    var t6 = vec4f();
    var t7 = vec4f();
    var t8 = vec4f();
    var u0 = vec4f();
    var u1 = vec4f();
    var u2 = vec4f();
    var u3 = vec4f();
    var u4 = vec4f();
    var u5 = vec4f();
    var u6 = vec4f();
    var u7 = vec4f();
    var u8 = vec4f();

    var turn = 0u;
    loop {
        let wanted = (turn * groups.x + group.x) * TOGETHER + subgroup;
        let item = min(wanted, items - 1u);
        let clip = item / per_clip;
        let i = item % per_clip;
        // Neighbouring segments take neighbouring memory.
        let line = select(i / segments, i % params.lines, params.across == 1u);
        let first = segment * select(i % segments, i / params.lines, params.across == 1u);
        let end = select(first, min(first + segment, params.length), wanted == item);
        let other = i32(line) + i32(r) - i32(params.above);
        let source = Source(
            lane % 4u,
            (clip * params.in_quads + in_quad) * plane
                + u32(clamp(other, 0, i32(params.lines) - 1)) * params.across,
            select(0, i32(params.length), other >= 0 && other < i32(params.lines)),
            scale,
            shift,
        );
        let d_row = (clip * params.out_quads + out_quad) * plane + line * params.across;
        var at = i32(first) - before;
        var x0 = vec4f(); var y0 = vec4f();
        var x1 = vec4f(); var y1 = vec4f();
        var x2 = vec4f(); var y2 = vec4f();
        var x3 = vec4f(); var y3 = vec4f();
        var x4 = vec4f(); var y4 = vec4f();
        var x5 = vec4f(); var y5 = vec4f();
        var x6 = vec4f(); var y6 = vec4f();
        var x7 = vec4f(); var y7 = vec4f();
        if GROUPS > 2u {
            let n0 = load(source, at + 0);
            x0 = of_four_lanes(n0);
            y0 = second_quad(n0);
            let n1 = load(source, at + 1);
            x1 = of_four_lanes(n1);
            y1 = second_quad(n1);
            let n2 = load(source, at + 2);
            x2 = of_four_lanes(n2);
            y2 = second_quad(n2);
        }
        if GROUPS > 1u {
            let n3 = load(source, at + 3);
            x3 = of_four_lanes(n3);
            y3 = second_quad(n3);
            let n4 = load(source, at + 4);
            x4 = of_four_lanes(n4);
            y4 = second_quad(n4);
            let n5 = load(source, at + 5);
            x5 = of_four_lanes(n5);
            y5 = second_quad(n5);
        }
        let n6 = load(source, at + 6);
        x6 = of_four_lanes(n6);
        y6 = second_quad(n6);
        let n7 = load(source, at + 7);
        x7 = of_four_lanes(n7);
        y7 = second_quad(n7);
        // As many steps for all, past the end of a segment with gradients of zero.
        var p = first;
        var step = 0u;
        loop {
            let d0 = select(0.0, d_output[4u * (d_row + min(p + 0u, params.length - 1u) * params.along) + lane % 4u], p + 0u < end);
            let d1 = select(0.0, d_output[4u * (d_row + min(p + 1u, params.length - 1u) * params.along) + lane % 4u], p + 1u < end);
            let d2 = select(0.0, d_output[4u * (d_row + min(p + 2u, params.length - 1u) * params.along) + lane % 4u], p + 2u < end);
            let d3 = select(0.0, d_output[4u * (d_row + min(p + 3u, params.length - 1u) * params.along) + lane % 4u], p + 3u < end);
            let d = vec4f(d0, d1, d2, d3);
            let n8 = load(source, at + 8);
            let n9 = load(source, at + 9);
            let n10 = load(source, at + 10);
            let n11 = load(source, at + 11);
            let x8 = of_four_lanes(n8);
            let y8 = second_quad(n8);
            let x9 = of_four_lanes(n9);
            let y9 = second_quad(n9);
            let x10 = of_four_lanes(n10);
            let y10 = second_quad(n10);
            let x11 = of_four_lanes(n11);
            let y11 = second_quad(n11);
            b += (d0 + d1) + (d2 + d3);
            if GROUPS > 2u {
                t0 = multiply_add(t0, d, x0, x1, x2, x3);
                t1 = multiply_add(t1, d, x1, x2, x3, x4);
                t2 = multiply_add(t2, d, x2, x3, x4, x5);
                u0 = multiply_add(u0, d, y0, y1, y2, y3);
                u1 = multiply_add(u1, d, y1, y2, y3, y4);
                u2 = multiply_add(u2, d, y2, y3, y4, y5);
            }
            if GROUPS > 1u {
                t3 = multiply_add(t3, d, x3, x4, x5, x6);
                t4 = multiply_add(t4, d, x4, x5, x6, x7);
                t5 = multiply_add(t5, d, x5, x6, x7, x8);
                u3 = multiply_add(u3, d, y3, y4, y5, y6);
                u4 = multiply_add(u4, d, y4, y5, y6, y7);
                u5 = multiply_add(u5, d, y5, y6, y7, y8);
            }
            t6 = multiply_add(t6, d, x6, x7, x8, x9);
            t7 = multiply_add(t7, d, x7, x8, x9, x10);
            t8 = multiply_add(t8, d, x8, x9, x10, x11);
            u6 = multiply_add(u6, d, y6, y7, y8, y9);
            u7 = multiply_add(u7, d, y7, y8, y9, y10);
            u8 = multiply_add(u8, d, y8, y9, y10, y11);
            x0 = x4; x1 = x5; x2 = x6; x3 = x7;
            x4 = x8; x5 = x9; x6 = x10; x7 = x11;
            y0 = y4; y1 = y5; y2 = y6; y3 = y7;
            y4 = y8; y5 = y9; y6 = y10; y7 = y11;
            at += 4;
            p += 4u;
            continuing {
                step++;
                break if step >= (segment + 3u) / 4u;
            }
        }
        continuing {
            turn++;
            break if turn * groups.x * TOGETHER >= items;
        }
    }

    // One quad of the input after the other: each thread adds up a slot or two of an output channel over
    // the subgroups.
    let of_share = group.x * params.out_quads;
    let own = min(3u * GROUPS, taps - 3u * GROUPS * run);
    for (var q = 0u; q < 2u; q++) {
        if q == 0u {
            sums[0u * LANES + TOGETHER * subgroup + lane] = t0;
            sums[1u * LANES + TOGETHER * subgroup + lane] = t1;
            sums[2u * LANES + TOGETHER * subgroup + lane] = t2;
            sums[3u * LANES + TOGETHER * subgroup + lane] = t3;
            sums[4u * LANES + TOGETHER * subgroup + lane] = t4;
            sums[5u * LANES + TOGETHER * subgroup + lane] = t5;
            sums[6u * LANES + TOGETHER * subgroup + lane] = t6;
            sums[7u * LANES + TOGETHER * subgroup + lane] = t7;
            sums[8u * LANES + TOGETHER * subgroup + lane] = t8;
        } else {
            sums[0u * LANES + TOGETHER * subgroup + lane] = u0;
            sums[1u * LANES + TOGETHER * subgroup + lane] = u1;
            sums[2u * LANES + TOGETHER * subgroup + lane] = u2;
            sums[3u * LANES + TOGETHER * subgroup + lane] = u3;
            sums[4u * LANES + TOGETHER * subgroup + lane] = u4;
            sums[5u * LANES + TOGETHER * subgroup + lane] = u5;
            sums[6u * LANES + TOGETHER * subgroup + lane] = u6;
            sums[7u * LANES + TOGETHER * subgroup + lane] = u7;
            sums[8u * LANES + TOGETHER * subgroup + lane] = u8;
        }
        workgroupBarrier();
        let to_in = 2u * pair + q;
        for (var i = index; i < own * TOGETHER; i += LANES) {
            let tap = i / TOGETHER;
            let channel = i % TOGETHER;
            let to_out = 2u * group.y + channel / 4u;
            if to_in < params.in_quads && to_out < params.out_quads {
                var sum = vec4f();
                for (var k = 0u; k < LANES; k += TOGETHER) {
                    sum += sums[(tap + SLOTS - 3u * GROUPS) * LANES + k + channel];
                }
                let row = ((of_share + to_out) * params.in_quads + to_in) * params.rows + r;
                let to = 16u * (row * taps + 3u * GROUPS * run + tap) + channel % 4u;
                partial[to] = sum.x;
                partial[to + 4u] = sum.y;
                partial[to + 8u] = sum.z;
                partial[to + 12u] = sum.w;
            }
        }
        workgroupBarrier();
    }

    // Every pair of input quads, line and run sees the same bias gradient; the first one writes it.
    sums[TOGETHER * subgroup + lane] = vec4f(b);
    workgroupBarrier();
    if index < TOGETHER && group.z == 0u && 2u * group.y + index / 4u < params.out_quads {
        var sum = 0.0;
        for (var k = 0u; k < LANES; k += TOGETHER) {
            sum += sums[k + index].x;
        }
        bias_partial[4u * (of_share + 2u * group.y) + index] = sum;
    }
}
