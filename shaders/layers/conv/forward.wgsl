// Convolution with "same" zero padding, bias and ReLU, over a block's input that batch norm scales
// as it is read, and the sums that this block's batch norm needs:
//     output[n, o, p] = max(0, bias[o] + Σ_i,r,t weight[o, i, r, t] · (scale[i] · input[n, i, line + r − above, p + t − before] + shift[i]))
//     partial[o] = Σ_n,p (output − pivot[o]),  Σ_n,p (output − pivot[o])²
// The padding stays zero: it surrounds the scaled input. The pivot is the running mean, which is
// near enough to the mean that the variance does not cancel.
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4.
// A line is a row of positions along the kernel's longer axis. Each thread computes 16 positions of a line for
// 4 channels; its window of inputs slides over the line three taps at a time.
// Workgroups: x covers the tiles of 16 of all clips, y the output quads from params.first on. A share of
// the sums is the work of one workgroup; those past the last tile write zeros.

struct Params {
    clips: u32,
    in_quads: u32,
    out_channels: u32,
    // Positions along and across the lines, and the distance between neighbours (in vec4).
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps in groups of three, and the taps before the centre.
    groups: u32,
    before: u32,
    // Lines that the kernel spans, and those before the centre.
    rows: u32,
    above: u32,
    // The first output quad of this launch, and how many there are in it.
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
// [2, in_quads]: scale, then shift.
@group(0) @binding(2) var<storage, read> affine: array<vec4f>;
// A window that begins at output quad params.first. For each output quad: [in_quads, 3 · groups],
// filled up to a multiple of 4; column c is for input channel c of the quad.
@group(0) @binding(3) var<uniform> weight: array<mat4x4f, 1024>;
// [out_channels]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
// [out_channels]
@group(0) @binding(5) var<storage, read> pivot: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<vec4f>;
// [shares, out_quads, 2]
@group(0) @binding(7) var<storage, read_write> partial: array<vec4f>;

const TILE = 16u;
const LANES = 64u;

var<workgroup> sums: array<vec4f, 128>;

// What a thread needs to put a result in its place.
var<private> quad: u32;
var<private> base: u32;
var<private> count: u32;
var<private> center: vec4f;
var<private> total: vec4f;
var<private> squares: vec4f;

// Channels 4q to 4q + 3 of a vector; zero past its end.
fn bias_of(q: u32) -> vec4f {
    let channel = vec4u(4u * q) + vec4u(0u, 1u, 2u, 3u);
    let i = min(channel, vec4u(params.out_channels - 1u));
    let value = vec4f(bias[i.x], bias[i.y], bias[i.z], bias[i.w]);
    return select(vec4f(), value, channel < vec4u(params.out_channels));
}

fn pivot_of(q: u32) -> vec4f {
    let channel = vec4u(4u * q) + vec4u(0u, 1u, 2u, 3u);
    let i = min(channel, vec4u(params.out_channels - 1u));
    let value = vec4f(pivot[i.x], pivot[i.y], pivot[i.z], pivot[i.w]);
    return select(vec4f(), value, channel < vec4u(params.out_channels));
}

fn multiply_add(sum: vec4f, w: mat4x4f, x: vec4f) -> vec4f {
    return fma(w[3], x.wwww, fma(w[2], x.zzzz, fma(w[1], x.yyyy, fma(w[0], x.xxxx, sum))));
}

// The scaled input at a position of a line; zero outside.
fn load(row: u32, position: i32, limit: i32, scale: vec4f, shift: vec4f) -> vec4f {
    let inside = position >= 0 && position < limit;
    let value = input[row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along];
    return select(vec4f(), fma(value, scale, shift), inside);
}

fn store(position: u32, sum: vec4f) {
    if position < count {
        let value = max(sum, vec4f());
        output[base + position * params.along] = value;
        total += value - center;
        squares += (value - center) * (value - center);
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
    let out_quads = (params.out_channels + 3u) / 4u;
    quad = params.first + group.y;
    let matrices = (params.in_quads * params.rows * 3u * params.groups + 3u) & ~3u;

    let b = bias_of(quad);
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;

    var part = 0u;
    loop {
        let q = part / params.rows;
        let r = part % params.rows;
        let scale = affine[q];
        let shift = affine[params.in_quads + q];
        // A line outside the plane is padding: no position of it is inside.
        let other = i32(line) + i32(r) - i32(params.above);
        let limit = select(0, i32(params.length), other >= 0 && other < i32(params.lines));
        let row = (clip * params.in_quads + q) * plane
            + u32(clamp(other, 0, i32(params.lines) - 1)) * params.across;
        var at = i32(first) - i32(params.before);
        var x0 = load(row, at, limit, scale, shift);
        var x1 = load(row, at + 1, limit, scale, shift);
        var x2 = load(row, at + 2, limit, scale, shift);
        var x3 = load(row, at + 3, limit, scale, shift);
        var x4 = load(row, at + 4, limit, scale, shift);
        var x5 = load(row, at + 5, limit, scale, shift);
        var x6 = load(row, at + 6, limit, scale, shift);
        var x7 = load(row, at + 7, limit, scale, shift);
        var x8 = load(row, at + 8, limit, scale, shift);
        var x9 = load(row, at + 9, limit, scale, shift);
        var x10 = load(row, at + 10, limit, scale, shift);
        var x11 = load(row, at + 11, limit, scale, shift);
        var x12 = load(row, at + 12, limit, scale, shift);
        var x13 = load(row, at + 13, limit, scale, shift);
        var x14 = load(row, at + 14, limit, scale, shift);
        var tap = group.y * matrices + part * 3u * params.groups;
        var g = 0u;
        loop {
            let x15 = load(row, at + 15, limit, scale, shift);
            let x16 = load(row, at + 16, limit, scale, shift);
            let x17 = load(row, at + 17, limit, scale, shift);
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
            break if part >= params.in_quads * params.rows;
        }
    }

    base = (clip * out_quads + quad) * plane + line * params.across + first * params.along;
    count = select(0u, min(TILE, params.length - first), real);
    center = pivot_of(quad);
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

    sums[lane] = total;
    sums[LANES + lane] = squares;
    workgroupBarrier();
    // Two lanes add all up: a tree has a barrier a level, and takes a software adapter twice as long
    // to compile; to a GPU this is a fiftieth of the workgroup's work.
    if lane < 2u {
        var sum = vec4f();
        for (var k = 0u; k < LANES; k++) {
            sum += sums[lane * LANES + k];
        }
        partial[(group.x * out_quads + quad) * 2u + lane] = sum;
    }
}
