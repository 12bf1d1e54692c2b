// Convolution with "same" zero padding, bias and ReLU, of a block's input that batch norm scales
// as it is read:
//     output[n, o, p] = max(0, bias[o] + Σ_i,t weight[o, i, t] · (scale[i] · input[n, i, p + t − centre] + shift[i]))
// where the padding stays zero (it surrounds the normalised input).
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4.
// A line is a row of positions along the kernel's longer axis. Each thread computes 16 positions
// of a line for 4 output channels; its window slides over the line three taps at a time.
// Workgroups: x covers the tiles of 16, y the output quads, z the clips.

struct Params {
    batch: u32,
    in_quads: u32,
    out_quads: u32,
    // Positions along and across the lines, and the distance between neighbours (in vec4).
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps along a line in groups of three, taps across lines, and the taps before the centre.
    groups: u32,
    rows: u32,
    before: u32,
    above: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
// [2, in_quads]: scale, then shift.
@group(0) @binding(2) var<storage, read> affine: array<vec4f>;
// [out_quads, rows, in_quads, 3 · groups]: column c holds input channel c of the quad.
@group(0) @binding(3) var<storage, read> weight: array<mat4x4f>;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4f>;

const TILE = 16u;

fn multiply_add(sum: vec4f, w: mat4x4f, x: vec4f) -> vec4f {
    return fma(w[3], x.wwww, fma(w[2], x.zzzz, fma(w[1], x.yyyy, fma(w[0], x.xxxx, sum))));
}

// The normalised input at a position of a line; zero outside.
fn load(row: u32, position: i32, scale: vec4f, shift: vec4f) -> vec4f {
    let inside = position >= 0 && position < i32(params.length);
    let value = input[row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along];
    return select(vec4f(), fma(value, scale, shift), inside);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.length + TILE - 1u) / TILE;
    let item = group.x * 64u + lane;
    if item >= tiles * params.lines {
        return;
    }
    // Neighbouring lanes take neighbouring memory.
    let line = select(item / tiles, item % params.lines, params.across == 1u);
    let first = TILE * select(item % tiles, item / params.lines, params.across == 1u);
    let plane = params.length * params.lines;

    let b = bias[group.y];
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;

    for (var r = 0u; r < params.rows; r++) {
        let source = i32(line + r) - i32(params.above);
        if source < 0 || source >= i32(params.lines) {
            continue;
        }
        for (var q = 0u; q < params.in_quads; q++) {
            let row = (group.z * params.in_quads + q) * plane + u32(source) * params.across;
            let scale = affine[q];
            let shift = affine[params.in_quads + q];
            var at = i32(first) - i32(params.before);
            var x0 = load(row, at, scale, shift);
            var x1 = load(row, at + 1, scale, shift);
            var x2 = load(row, at + 2, scale, shift);
            var x3 = load(row, at + 3, scale, shift);
            var x4 = load(row, at + 4, scale, shift);
            var x5 = load(row, at + 5, scale, shift);
            var x6 = load(row, at + 6, scale, shift);
            var x7 = load(row, at + 7, scale, shift);
            var x8 = load(row, at + 8, scale, shift);
            var x9 = load(row, at + 9, scale, shift);
            var x10 = load(row, at + 10, scale, shift);
            var x11 = load(row, at + 11, scale, shift);
            var x12 = load(row, at + 12, scale, shift);
            var x13 = load(row, at + 13, scale, shift);
            var x14 = load(row, at + 14, scale, shift);
            var tap = ((group.y * params.rows + r) * params.in_quads + q) * 3u * params.groups;
            for (var g = 0u; g < params.groups; g++) {
                let x15 = load(row, at + 15, scale, shift);
                let x16 = load(row, at + 16, scale, shift);
                let x17 = load(row, at + 17, scale, shift);
                var w = weight[tap];
                s0 = multiply_add(s0, w, x0);
                s1 = multiply_add(s1, w, x1);
                s2 = multiply_add(s2, w, x2);
                s3 = multiply_add(s3, w, x3);
                s4 = multiply_add(s4, w, x4);
                s5 = multiply_add(s5, w, x5);
                s6 = multiply_add(s6, w, x6);
                s7 = multiply_add(s7, w, x7);
                s8 = multiply_add(s8, w, x8);
                s9 = multiply_add(s9, w, x9);
                s10 = multiply_add(s10, w, x10);
                s11 = multiply_add(s11, w, x11);
                s12 = multiply_add(s12, w, x12);
                s13 = multiply_add(s13, w, x13);
                s14 = multiply_add(s14, w, x14);
                s15 = multiply_add(s15, w, x15);
                w = weight[tap + 1u];
                s0 = multiply_add(s0, w, x1);
                s1 = multiply_add(s1, w, x2);
                s2 = multiply_add(s2, w, x3);
                s3 = multiply_add(s3, w, x4);
                s4 = multiply_add(s4, w, x5);
                s5 = multiply_add(s5, w, x6);
                s6 = multiply_add(s6, w, x7);
                s7 = multiply_add(s7, w, x8);
                s8 = multiply_add(s8, w, x9);
                s9 = multiply_add(s9, w, x10);
                s10 = multiply_add(s10, w, x11);
                s11 = multiply_add(s11, w, x12);
                s12 = multiply_add(s12, w, x13);
                s13 = multiply_add(s13, w, x14);
                s14 = multiply_add(s14, w, x15);
                s15 = multiply_add(s15, w, x16);
                w = weight[tap + 2u];
                s0 = multiply_add(s0, w, x2);
                s1 = multiply_add(s1, w, x3);
                s2 = multiply_add(s2, w, x4);
                s3 = multiply_add(s3, w, x5);
                s4 = multiply_add(s4, w, x6);
                s5 = multiply_add(s5, w, x7);
                s6 = multiply_add(s6, w, x8);
                s7 = multiply_add(s7, w, x9);
                s8 = multiply_add(s8, w, x10);
                s9 = multiply_add(s9, w, x11);
                s10 = multiply_add(s10, w, x12);
                s11 = multiply_add(s11, w, x13);
                s12 = multiply_add(s12, w, x14);
                s13 = multiply_add(s13, w, x15);
                s14 = multiply_add(s14, w, x16);
                s15 = multiply_add(s15, w, x17);
                x0 = x3; x1 = x4; x2 = x5; x3 = x6; x4 = x7;
                x5 = x8; x6 = x9; x7 = x10; x8 = x11; x9 = x12;
                x10 = x13; x11 = x14; x12 = x15; x13 = x16; x14 = x17;
                at += 3;
                tap += 3u;
            }
        }
    }

    let base = (group.z * params.out_quads + group.y) * plane + line * params.across + first * params.along;
    let count = min(TILE, params.length - first);
    if 0u < count { output[base] = max(s0, vec4f()); }
    if 1u < count { output[base + params.along] = max(s1, vec4f()); }
    if 2u < count { output[base + 2u * params.along] = max(s2, vec4f()); }
    if 3u < count { output[base + 3u * params.along] = max(s3, vec4f()); }
    if 4u < count { output[base + 4u * params.along] = max(s4, vec4f()); }
    if 5u < count { output[base + 5u * params.along] = max(s5, vec4f()); }
    if 6u < count { output[base + 6u * params.along] = max(s6, vec4f()); }
    if 7u < count { output[base + 7u * params.along] = max(s7, vec4f()); }
    if 8u < count { output[base + 8u * params.along] = max(s8, vec4f()); }
    if 9u < count { output[base + 9u * params.along] = max(s9, vec4f()); }
    if 10u < count { output[base + 10u * params.along] = max(s10, vec4f()); }
    if 11u < count { output[base + 11u * params.along] = max(s11, vec4f()); }
    if 12u < count { output[base + 12u * params.along] = max(s12, vec4f()); }
    if 13u < count { output[base + 13u * params.along] = max(s13, vec4f()); }
    if 14u < count { output[base + 14u * params.along] = max(s14, vec4f()); }
    if 15u < count { output[base + 15u * params.along] = max(s15, vec4f()); }
}
