// Gradient of a convolution to its (scaled) input: a convolution of the output's gradient with the
// taps reversed,
//     d_input[n, i, p] = Σ_o,r,t weight[o, i, r, t] · d_output[n, o, line − r + above, p − t + before]
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4.
// A line is a row of positions along the kernel's longer axis. Each thread computes 16 positions of a line for
// 4 channels; its window of inputs slides over the line three taps at a time.
// Workgroups: x covers the tiles of 16 of all clips, y the input quads from params.first on.

struct Params {
    clips: u32,
    in_quads: u32,
    out_quads: u32,
    // Positions along and across the lines, and the distance between neighbours (in vec4).
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps in groups of three, and the (reversed) taps before the centre.
    groups: u32,
    before: u32,
    // Lines that the kernel spans, and those before the centre.
    rows: u32,
    above: u32,
    // The first input quad of this launch, and how many there are in it.
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> d_output: array<vec4f>;
// A window that begins at input quad params.first. For each input quad: [out_quads, 3 · groups],
// filled up to a multiple of 4, taps reversed; column c is for output channel c of the quad.
@group(0) @binding(2) var<uniform> weight: array<mat4x4f, 1024>;
@group(0) @binding(3) var<storage, read_write> d_input: array<vec4f>;

const TILE = 16u;
const LANES = 64u;

var<private> base: u32;
var<private> count: u32;

fn multiply_add(sum: vec4f, w: mat4x4f, x: vec4f) -> vec4f {
    return fma(w[3], x.wwww, fma(w[2], x.zzzz, fma(w[1], x.yyyy, fma(w[0], x.xxxx, sum))));
}

// The gradient at a position of a line; zero outside.
fn load(row: u32, position: i32, limit: i32) -> vec4f {
    let inside = position >= 0 && position < limit;
    let value = d_output[row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along];
    return select(vec4f(), value, inside);
}

fn store(position: u32, sum: vec4f) {
    if position < count {
        d_input[base + position * params.along] = sum;
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.length + TILE - 1u) / TILE;
    let per_clip = tiles * params.lines;
    // Lanes past the end repeat the last item and store nothing: with returns or ifs, a software
    // adapter would check every load's lanes.
    let item = min(group.x * LANES + lane, params.clips * per_clip - 1u);
    let real = group.x * LANES + lane == item;
    let clip = item / per_clip;
    let i = item % per_clip;
    // Neighbouring lanes take neighbouring memory.
    let line = select(i / tiles, i % params.lines, params.across == 1u);
    let first = TILE * select(i % tiles, i / params.lines, params.across == 1u);
    let plane = params.length * params.lines;
    let quad = params.first + group.y;
    let matrices = (params.out_quads * params.rows * 3u * params.groups + 3u) & ~3u;

    let b = vec4f();
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;

    var part = 0u;
    loop {
        let q = part / params.rows;
        let r = part % params.rows;
        // A line outside the plane is padding: no position of it is inside.
        let other = i32(line) + i32(r) - i32(params.above);
        let limit = select(0, i32(params.length), other >= 0 && other < i32(params.lines));
        let row = (clip * params.out_quads + q) * plane
            + u32(clamp(other, 0, i32(params.lines) - 1)) * params.across;
        var at = i32(first) - i32(params.before);
        var x0 = load(row, at, limit);
        var x1 = load(row, at + 1, limit);
        var x2 = load(row, at + 2, limit);
        var x3 = load(row, at + 3, limit);
        var x4 = load(row, at + 4, limit);
        var x5 = load(row, at + 5, limit);
        var x6 = load(row, at + 6, limit);
        var x7 = load(row, at + 7, limit);
        var x8 = load(row, at + 8, limit);
        var x9 = load(row, at + 9, limit);
        var x10 = load(row, at + 10, limit);
        var x11 = load(row, at + 11, limit);
        var x12 = load(row, at + 12, limit);
        var x13 = load(row, at + 13, limit);
        var x14 = load(row, at + 14, limit);
        var tap = group.y * matrices + part * 3u * params.groups;
        var g = 0u;
        loop {
            let x15 = load(row, at + 15, limit);
            let x16 = load(row, at + 16, limit);
            let x17 = load(row, at + 17, limit);
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
            continuing {
                g++;
                break if g >= params.groups;
            }
        }
        continuing {
            part++;
            break if part >= params.out_quads * params.rows;
        }
    }

    base = (clip * params.in_quads + quad) * plane + line * params.across + first * params.along;
    count = select(0u, min(TILE, params.length - first), real);
    store(0u, s0);
    store(1u, s1);
    store(2u, s2);
    store(3u, s3);
    store(4u, s4);
    store(5u, s5);
    store(6u, s6);
    store(7u, s7);
    store(8u, s8);
    store(9u, s9);
    store(10u, s10);
    store(11u, s11);
    store(12u, s12);
    store(13u, s13);
    store(14u, s14);
    store(15u, s15);
}
