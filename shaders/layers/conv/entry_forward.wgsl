// The first block of a branch up to its batch norm: convolution of one input channel with "same"
// zero padding, bias, ReLU, and max pooling, in one pass, so that the full-size activation, by far
// the largest tensor of the network, never exists:
//     x[n, p] = (input[n, p] − mean) · inverse_deviation
//     a[n, o, p] = max(0, bias[o] + Σ_t weight[o, t] · x[n, p + t − before])
//     pooled[n, o, w] = a at the position of window w at which γ[o] · a is greatest
//     code[n, o, w] = that position, counted row by row inside the window, a byte a channel
//     partial[o] = Σ_n,p (a − pivot[o]),  Σ_n,p (a − pivot[o])²
// Pooling before batch norm is explained in layers/pool/forward. The sums run over every position,
// those of a remainder that fills no window included.
//
// The padding stays zero: it surrounds the standardised input. The input is [clip, band, step];
// outputs hold channels in quads: [clip, channel/4, band, step] of vec4. A line is a row of positions
// along the kernel. Each thread takes windows that lie side by side along the lines, up to 8
// positions, in several rows of windows, for 4 channels.
// Workgroups: x covers the threads of a plane, y the quads, z the clips. A share of the sums is the
// work of one workgroup.

struct Params {
    batch: u32,
    out_channels: u32,
    // Positions along and across the lines, and the distance between neighbours.
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // Taps, at most 9, and those before the centre.
    taps: u32,
    before: u32,
    // Positions of a window along the line and lines of a window, and what one of each adds to a
    // code.
    window: u32,
    window_lines: u32,
    code_along: u32,
    code_across: u32,
    // Windows along and across the lines, and the distance between neighbours.
    windows: u32,
    window_rows: u32,
    pooled_along: u32,
    pooled_across: u32,
    // What standardises the input.
    mean: f32,
    inverse_deviation: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, bands, steps], in dB
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [out_channels, taps]
@group(0) @binding(2) var<storage, read> weight: array<f32>;
// [out_channels]
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>;
@group(0) @binding(5) var<storage, read> pivot: array<f32>;
// [batch, out_quads, pooled bands, pooled steps]
@group(0) @binding(6) var<storage, read_write> pooled: array<vec4f>;
// [batch, out_quads, pooled bands, pooled steps]
@group(0) @binding(7) var<storage, read_write> code: array<u32>;
// [shares, out_quads, 2], a share a workgroup of each clip
@group(0) @binding(8) var<storage, read_write> partial: array<vec4f>;

// params.window, at most 8: constant, so that the windows of a tile stay in registers.
override POOL = 2u;
// Groups of three taps, 1 to 3; taps past params.taps have no weight.
override GROUPS = 3u;

const TILE = 8u;
// Rows of windows that a thread takes.
const ROWS = 4u;
const LANES = 64u;
const UNSET = 0xffffffffu;

// What the thread has found so far: by window, the best value and its place.
var<private> best: array<vec4f, 8>;
var<private> place: array<vec4u, 8>;
// Where it is: the first position of its tile, how many of them count, the code of the line.
var<private> first: u32;
var<private> count: u32;
var<private> line_code: u32;
var<private> row_base: u32;
var<private> direction: vec4f;

fn gamma_of(q: u32) -> vec4f {
    let i = places(q);
    return vec4f(gamma[i.x], gamma[i.y], gamma[i.z], gamma[i.w]);
}

// Counts position i of the tile, if it counts, and keeps it if it is the best of its window. Among
// equals the lower code wins. There is no branch, which eight calls would multiply.
fn consider(i: u32, sum: vec4f) {
    let counts = vec4<bool>(i < count);
    let value = max(sum, vec4f());
    let distance = select(vec4f(), value - center, counts);
    total += distance;
    squares = fma(distance, distance, squares);
    let here = vec4u(line_code + i % POOL * params.code_along);
    let key = value * direction;
    let held = best[i / POOL] * direction;
    let better = counts & ((key > held) | ((key == held) & (here < place[i / POOL])));
    best[i / POOL] = select(best[i / POOL], value, better);
    place[i / POOL] = select(place[i / POOL], here, better);
}

// Writes window i of the tile, if it is one.
fn put(i: u32) {
    if i < TILE / POOL && first / params.window + i < params.windows {
        let at = row_base + (first / params.window + i) * params.pooled_along;
        let p = place[i];
        pooled[at] = best[i];
        code[at] = p.x | (p.y << 8u) | (p.z << 16u) | (p.w << 24u);
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let tile = TILE / params.window * params.window;
    let tiles = (params.length + tile - 1u) / tile;
    let rows = (params.lines + params.window_lines - 1u) / params.window_lines;
    // Threads that share a plane's rows of windows.
    let sharing = (rows + ROWS - 1u) / ROWS;
    // Lanes past the end repeat the last item and count nothing.
    let item = min(group.x * LANES + lane, tiles * sharing - 1u);
    let real = group.x * LANES + lane == item;
    // Neighbouring lanes take neighbouring memory.
    let share = select(item / tiles, item % sharing, params.across == 1u);
    first = tile * select(item % tiles, item / sharing, params.across == 1u);
    let quad = group.y;
    let clip = group.z;
    let at = i32(first) - i32(params.before);
    let pooled_plane = params.windows * params.window_rows;

    let b = bias_of(quad);
    let w0 = weight_of(quad, 0u);
    let w1 = weight_of(quad, 1u);
    let w2 = weight_of(quad, 2u);
    let w3 = weight_of(quad, 3u);
    let w4 = weight_of(quad, 4u);
    let w5 = weight_of(quad, 5u);
    let w6 = weight_of(quad, 6u);
    let w7 = weight_of(quad, 7u);
    let w8 = weight_of(quad, 8u);
    center = pivot_of(quad);
    direction = sign(gamma_of(quad));
    let worst = -3.0e38 * direction;

    // All threads take as many turns; what lies past the plane counts nothing.
    let turns = (rows + sharing - 1u) / sharing;
    var turn = 0u;
    loop {
        let window_row = share + turn * sharing;
        best[0] = worst;
        place[0] = vec4u(UNSET);
        best[1] = worst;
        place[1] = vec4u(UNSET);
        best[2] = worst;
        place[2] = vec4u(UNSET);
        best[3] = worst;
        place[3] = vec4u(UNSET);
        best[4] = worst;
        place[4] = vec4u(UNSET);
        best[5] = worst;
        place[5] = vec4u(UNSET);
        best[6] = worst;
        place[6] = vec4u(UNSET);
        best[7] = worst;
        place[7] = vec4u(UNSET);
        var l = 0u;
        loop {
            let line = window_row * params.window_lines + l;
            count = select(0u, min(tile, params.length - first), real && line < params.lines);
            line_code = l * params.code_across;
            let row = clip * params.length * params.lines
                + min(line, params.lines - 1u) * params.across;
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
            var s0 = b; var s1 = b; var s2 = b; var s3 = b;
            var s4 = b; var s5 = b; var s6 = b; var s7 = b;
            s0 = fma(w0, vec4f(x0), s0);
            s1 = fma(w0, vec4f(x1), s1);
            s2 = fma(w0, vec4f(x2), s2);
            s3 = fma(w0, vec4f(x3), s3);
            s4 = fma(w0, vec4f(x4), s4);
            s5 = fma(w0, vec4f(x5), s5);
            s6 = fma(w0, vec4f(x6), s6);
            s7 = fma(w0, vec4f(x7), s7);
            s0 = fma(w1, vec4f(x1), s0);
            s1 = fma(w1, vec4f(x2), s1);
            s2 = fma(w1, vec4f(x3), s2);
            s3 = fma(w1, vec4f(x4), s3);
            s4 = fma(w1, vec4f(x5), s4);
            s5 = fma(w1, vec4f(x6), s5);
            s6 = fma(w1, vec4f(x7), s6);
            s7 = fma(w1, vec4f(x8), s7);
            s0 = fma(w2, vec4f(x2), s0);
            s1 = fma(w2, vec4f(x3), s1);
            s2 = fma(w2, vec4f(x4), s2);
            s3 = fma(w2, vec4f(x5), s3);
            s4 = fma(w2, vec4f(x6), s4);
            s5 = fma(w2, vec4f(x7), s5);
            s6 = fma(w2, vec4f(x8), s6);
            s7 = fma(w2, vec4f(x9), s7);
            if GROUPS > 1u {
                s0 = fma(w3, vec4f(x3), s0);
                s1 = fma(w3, vec4f(x4), s1);
                s2 = fma(w3, vec4f(x5), s2);
                s3 = fma(w3, vec4f(x6), s3);
                s4 = fma(w3, vec4f(x7), s4);
                s5 = fma(w3, vec4f(x8), s5);
                s6 = fma(w3, vec4f(x9), s6);
                s7 = fma(w3, vec4f(x10), s7);
                s0 = fma(w4, vec4f(x4), s0);
                s1 = fma(w4, vec4f(x5), s1);
                s2 = fma(w4, vec4f(x6), s2);
                s3 = fma(w4, vec4f(x7), s3);
                s4 = fma(w4, vec4f(x8), s4);
                s5 = fma(w4, vec4f(x9), s5);
                s6 = fma(w4, vec4f(x10), s6);
                s7 = fma(w4, vec4f(x11), s7);
                s0 = fma(w5, vec4f(x5), s0);
                s1 = fma(w5, vec4f(x6), s1);
                s2 = fma(w5, vec4f(x7), s2);
                s3 = fma(w5, vec4f(x8), s3);
                s4 = fma(w5, vec4f(x9), s4);
                s5 = fma(w5, vec4f(x10), s5);
                s6 = fma(w5, vec4f(x11), s6);
                s7 = fma(w5, vec4f(x12), s7);
            }
            if GROUPS > 2u {
                s0 = fma(w6, vec4f(x6), s0);
                s1 = fma(w6, vec4f(x7), s1);
                s2 = fma(w6, vec4f(x8), s2);
                s3 = fma(w6, vec4f(x9), s3);
                s4 = fma(w6, vec4f(x10), s4);
                s5 = fma(w6, vec4f(x11), s5);
                s6 = fma(w6, vec4f(x12), s6);
                s7 = fma(w6, vec4f(x13), s7);
                s0 = fma(w7, vec4f(x7), s0);
                s1 = fma(w7, vec4f(x8), s1);
                s2 = fma(w7, vec4f(x9), s2);
                s3 = fma(w7, vec4f(x10), s3);
                s4 = fma(w7, vec4f(x11), s4);
                s5 = fma(w7, vec4f(x12), s5);
                s6 = fma(w7, vec4f(x13), s6);
                s7 = fma(w7, vec4f(x14), s7);
                s0 = fma(w8, vec4f(x8), s0);
                s1 = fma(w8, vec4f(x9), s1);
                s2 = fma(w8, vec4f(x10), s2);
                s3 = fma(w8, vec4f(x11), s3);
                s4 = fma(w8, vec4f(x12), s4);
                s5 = fma(w8, vec4f(x13), s5);
                s6 = fma(w8, vec4f(x14), s6);
                s7 = fma(w8, vec4f(x15), s7);
            }
            consider(0u, s0);
            consider(1u, s1);
            consider(2u, s2);
            consider(3u, s3);
            consider(4u, s4);
            consider(5u, s5);
            consider(6u, s6);
            consider(7u, s7);
            continuing {
                l++;
                break if l >= params.window_lines;
            }
        }
        if real && window_row < params.window_rows {
            row_base = (clip * groups.y + quad) * pooled_plane + window_row * params.pooled_across;
            put(0u);
            put(1u);
            put(2u);
            put(3u);
            put(4u);
            put(5u);
            put(6u);
            put(7u);
        }
        continuing {
            turn++;
            break if turn >= turns;
        }
    }

    put_sums(lane, ((clip * groups.x + group.x) * groups.y + quad) * 2u);
}
