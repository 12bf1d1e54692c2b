// The first convolution of a branch: one input channel, "same" zero padding, bias and ReLU, and the
// sums that the block's batch norm needs:
//     output[n, o, p] = max(0, bias[o] + Σ_t weight[o, t] · input[n, p + t − before])
//     partial[row, o] = Σ_p (output − pivot[o]),  Σ_p (output − pivot[o])²
// The output is full size, the largest tensor of the network, so the batch is walked in slices of
// a few clips: clip n of the slice is clip first_clip + n of the batch.
//
// The input is [clip, band, step]; the output holds channels in quads: [clip, channel/4, band,
// step] of vec4. A line is a row of positions along the kernel. Each thread computes 16 positions
// of a line for 4 channels. Workgroups: x covers the tiles of 16, y the output quads, z the clips.
// A row of partials is the work of one workgroup.

struct Params {
    batch: u32,
    first_clip: u32,
    clips: u32,
    out_channels: u32,
    // Positions along and across the lines, and the distance between neighbours.
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps, at most 9, and those before the centre.
    taps: u32,
    before: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, bands, steps]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [out_channels, taps]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// [out_channels]
@group(0) @binding(3) var<storage, read> bias: array<f32>;
// [out_channels]
@group(0) @binding(4) var<storage, read> pivot: array<f32>;
// [clips, out_quads, bands, steps]
@group(0) @binding(5) var<storage, read_write> output: array<vec4f>;
// [batch, tile groups, out_quads, 2]
@group(0) @binding(6) var<storage, read_write> partial: array<vec4f>;

const TILE = 16u;
const LANES = 64u;

var<workgroup> sums: array<vec4f, 128>;

var<private> base: u32;
var<private> count: u32;
var<private> center: vec4f;
var<private> total: vec4f;
var<private> squares: vec4f;

fn channels(q: u32) -> vec4u {
    return vec4u(4u * q) + vec4u(0u, 1u, 2u, 3u);
}

// Channels of quad q; zero past the last one.
fn bias_of(q: u32) -> vec4f {
    let i = min(channels(q), vec4u(params.out_channels - 1u));
    let value = vec4f(bias[i.x], bias[i.y], bias[i.z], bias[i.w]);
    return select(vec4f(), value, channels(q) < vec4u(params.out_channels));
}

fn pivot_of(q: u32) -> vec4f {
    let i = min(channels(q), vec4u(params.out_channels - 1u));
    let value = vec4f(pivot[i.x], pivot[i.y], pivot[i.z], pivot[i.w]);
    return select(vec4f(), value, channels(q) < vec4u(params.out_channels));
}

fn weight_of(q: u32, tap: u32) -> vec4f {
    let i = min(channels(q), vec4u(params.out_channels - 1u)) * params.taps + tap;
    let value = vec4f(weight[i.x], weight[i.y], weight[i.z], weight[i.w]);
    return select(vec4f(), value, channels(q) < vec4u(params.out_channels));
}

// The input at a position of a line; zero outside.
fn load(row: u32, position: i32) -> f32 {
    let inside = position >= 0 && position < i32(params.length);
    let value = input[row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along];
    return select(0.0, value, inside);
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
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tiles = (params.length + TILE - 1u) / TILE;
    // Lanes past the end repeat the last item and store nothing.
    let item = min(group.x * LANES + lane, tiles * params.lines - 1u);
    let real = group.x * LANES + lane == item;
    // Neighbouring lanes take neighbouring memory.
    let line = select(item / tiles, item % params.lines, params.across == 1u);
    let first = TILE * select(item % tiles, item / params.lines, params.across == 1u);
    let plane = params.length * params.lines;
    let quad = group.y;
    let clip = params.first_clip + group.z;

    let row = clip * plane + line * params.across;
    let at = i32(first) - i32(params.before);
    let x0 = load(row, at + 0);
    let x1 = load(row, at + 1);
    let x2 = load(row, at + 2);
    let x3 = load(row, at + 3);
    let x4 = load(row, at + 4);
    let x5 = load(row, at + 5);
    let x6 = load(row, at + 6);
    let x7 = load(row, at + 7);
    let x8 = load(row, at + 8);
    let x9 = load(row, at + 9);
    let x10 = load(row, at + 10);
    let x11 = load(row, at + 11);
    let x12 = load(row, at + 12);
    let x13 = load(row, at + 13);
    let x14 = load(row, at + 14);
    let x15 = load(row, at + 15);
    let x16 = load(row, at + 16);
    let x17 = load(row, at + 17);
    let x18 = load(row, at + 18);
    let x19 = load(row, at + 19);
    let x20 = load(row, at + 20);
    let x21 = load(row, at + 21);
    let x22 = load(row, at + 22);
    let x23 = load(row, at + 23);

    let b = bias_of(quad);
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;

    if 0u < params.taps {
        let w = weight_of(quad, 0u);
        s0 = fma(w, vec4f(x0), s0);
        s1 = fma(w, vec4f(x1), s1);
        s2 = fma(w, vec4f(x2), s2);
        s3 = fma(w, vec4f(x3), s3);
        s4 = fma(w, vec4f(x4), s4);
        s5 = fma(w, vec4f(x5), s5);
        s6 = fma(w, vec4f(x6), s6);
        s7 = fma(w, vec4f(x7), s7);
        s8 = fma(w, vec4f(x8), s8);
        s9 = fma(w, vec4f(x9), s9);
        s10 = fma(w, vec4f(x10), s10);
        s11 = fma(w, vec4f(x11), s11);
        s12 = fma(w, vec4f(x12), s12);
        s13 = fma(w, vec4f(x13), s13);
        s14 = fma(w, vec4f(x14), s14);
        s15 = fma(w, vec4f(x15), s15);
    }
    if 1u < params.taps {
        let w = weight_of(quad, 1u);
        s0 = fma(w, vec4f(x1), s0);
        s1 = fma(w, vec4f(x2), s1);
        s2 = fma(w, vec4f(x3), s2);
        s3 = fma(w, vec4f(x4), s3);
        s4 = fma(w, vec4f(x5), s4);
        s5 = fma(w, vec4f(x6), s5);
        s6 = fma(w, vec4f(x7), s6);
        s7 = fma(w, vec4f(x8), s7);
        s8 = fma(w, vec4f(x9), s8);
        s9 = fma(w, vec4f(x10), s9);
        s10 = fma(w, vec4f(x11), s10);
        s11 = fma(w, vec4f(x12), s11);
        s12 = fma(w, vec4f(x13), s12);
        s13 = fma(w, vec4f(x14), s13);
        s14 = fma(w, vec4f(x15), s14);
        s15 = fma(w, vec4f(x16), s15);
    }
    if 2u < params.taps {
        let w = weight_of(quad, 2u);
        s0 = fma(w, vec4f(x2), s0);
        s1 = fma(w, vec4f(x3), s1);
        s2 = fma(w, vec4f(x4), s2);
        s3 = fma(w, vec4f(x5), s3);
        s4 = fma(w, vec4f(x6), s4);
        s5 = fma(w, vec4f(x7), s5);
        s6 = fma(w, vec4f(x8), s6);
        s7 = fma(w, vec4f(x9), s7);
        s8 = fma(w, vec4f(x10), s8);
        s9 = fma(w, vec4f(x11), s9);
        s10 = fma(w, vec4f(x12), s10);
        s11 = fma(w, vec4f(x13), s11);
        s12 = fma(w, vec4f(x14), s12);
        s13 = fma(w, vec4f(x15), s13);
        s14 = fma(w, vec4f(x16), s14);
        s15 = fma(w, vec4f(x17), s15);
    }
    if 3u < params.taps {
        let w = weight_of(quad, 3u);
        s0 = fma(w, vec4f(x3), s0);
        s1 = fma(w, vec4f(x4), s1);
        s2 = fma(w, vec4f(x5), s2);
        s3 = fma(w, vec4f(x6), s3);
        s4 = fma(w, vec4f(x7), s4);
        s5 = fma(w, vec4f(x8), s5);
        s6 = fma(w, vec4f(x9), s6);
        s7 = fma(w, vec4f(x10), s7);
        s8 = fma(w, vec4f(x11), s8);
        s9 = fma(w, vec4f(x12), s9);
        s10 = fma(w, vec4f(x13), s10);
        s11 = fma(w, vec4f(x14), s11);
        s12 = fma(w, vec4f(x15), s12);
        s13 = fma(w, vec4f(x16), s13);
        s14 = fma(w, vec4f(x17), s14);
        s15 = fma(w, vec4f(x18), s15);
    }
    if 4u < params.taps {
        let w = weight_of(quad, 4u);
        s0 = fma(w, vec4f(x4), s0);
        s1 = fma(w, vec4f(x5), s1);
        s2 = fma(w, vec4f(x6), s2);
        s3 = fma(w, vec4f(x7), s3);
        s4 = fma(w, vec4f(x8), s4);
        s5 = fma(w, vec4f(x9), s5);
        s6 = fma(w, vec4f(x10), s6);
        s7 = fma(w, vec4f(x11), s7);
        s8 = fma(w, vec4f(x12), s8);
        s9 = fma(w, vec4f(x13), s9);
        s10 = fma(w, vec4f(x14), s10);
        s11 = fma(w, vec4f(x15), s11);
        s12 = fma(w, vec4f(x16), s12);
        s13 = fma(w, vec4f(x17), s13);
        s14 = fma(w, vec4f(x18), s14);
        s15 = fma(w, vec4f(x19), s15);
    }
    if 5u < params.taps {
        let w = weight_of(quad, 5u);
        s0 = fma(w, vec4f(x5), s0);
        s1 = fma(w, vec4f(x6), s1);
        s2 = fma(w, vec4f(x7), s2);
        s3 = fma(w, vec4f(x8), s3);
        s4 = fma(w, vec4f(x9), s4);
        s5 = fma(w, vec4f(x10), s5);
        s6 = fma(w, vec4f(x11), s6);
        s7 = fma(w, vec4f(x12), s7);
        s8 = fma(w, vec4f(x13), s8);
        s9 = fma(w, vec4f(x14), s9);
        s10 = fma(w, vec4f(x15), s10);
        s11 = fma(w, vec4f(x16), s11);
        s12 = fma(w, vec4f(x17), s12);
        s13 = fma(w, vec4f(x18), s13);
        s14 = fma(w, vec4f(x19), s14);
        s15 = fma(w, vec4f(x20), s15);
    }
    if 6u < params.taps {
        let w = weight_of(quad, 6u);
        s0 = fma(w, vec4f(x6), s0);
        s1 = fma(w, vec4f(x7), s1);
        s2 = fma(w, vec4f(x8), s2);
        s3 = fma(w, vec4f(x9), s3);
        s4 = fma(w, vec4f(x10), s4);
        s5 = fma(w, vec4f(x11), s5);
        s6 = fma(w, vec4f(x12), s6);
        s7 = fma(w, vec4f(x13), s7);
        s8 = fma(w, vec4f(x14), s8);
        s9 = fma(w, vec4f(x15), s9);
        s10 = fma(w, vec4f(x16), s10);
        s11 = fma(w, vec4f(x17), s11);
        s12 = fma(w, vec4f(x18), s12);
        s13 = fma(w, vec4f(x19), s13);
        s14 = fma(w, vec4f(x20), s14);
        s15 = fma(w, vec4f(x21), s15);
    }
    if 7u < params.taps {
        let w = weight_of(quad, 7u);
        s0 = fma(w, vec4f(x7), s0);
        s1 = fma(w, vec4f(x8), s1);
        s2 = fma(w, vec4f(x9), s2);
        s3 = fma(w, vec4f(x10), s3);
        s4 = fma(w, vec4f(x11), s4);
        s5 = fma(w, vec4f(x12), s5);
        s6 = fma(w, vec4f(x13), s6);
        s7 = fma(w, vec4f(x14), s7);
        s8 = fma(w, vec4f(x15), s8);
        s9 = fma(w, vec4f(x16), s9);
        s10 = fma(w, vec4f(x17), s10);
        s11 = fma(w, vec4f(x18), s11);
        s12 = fma(w, vec4f(x19), s12);
        s13 = fma(w, vec4f(x20), s13);
        s14 = fma(w, vec4f(x21), s14);
        s15 = fma(w, vec4f(x22), s15);
    }
    if 8u < params.taps {
        let w = weight_of(quad, 8u);
        s0 = fma(w, vec4f(x8), s0);
        s1 = fma(w, vec4f(x9), s1);
        s2 = fma(w, vec4f(x10), s2);
        s3 = fma(w, vec4f(x11), s3);
        s4 = fma(w, vec4f(x12), s4);
        s5 = fma(w, vec4f(x13), s5);
        s6 = fma(w, vec4f(x14), s6);
        s7 = fma(w, vec4f(x15), s7);
        s8 = fma(w, vec4f(x16), s8);
        s9 = fma(w, vec4f(x17), s9);
        s10 = fma(w, vec4f(x18), s10);
        s11 = fma(w, vec4f(x19), s11);
        s12 = fma(w, vec4f(x20), s12);
        s13 = fma(w, vec4f(x21), s13);
        s14 = fma(w, vec4f(x22), s14);
        s15 = fma(w, vec4f(x23), s15);
    }

    base = (group.z * groups.y + quad) * plane + line * params.across + first * params.along;
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
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
            sums[LANES + lane] += sums[LANES + lane + half];
        }
        workgroupBarrier();
    }
    if lane < 2u {
        partial[((clip * groups.x + group.x) * groups.y + quad) * 2u + lane] = sums[lane * LANES];
    }
}
