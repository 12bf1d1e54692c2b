// The first block of a branch backwards: through pooling, batch norm and ReLU to the gradients of
// the weights, in one pass that computes the activation again from the input:
//     x[n, p] = (input[n, p] − mean) · inverse_deviation
//     a[n, o, p] = max(0, bias[o] + Σ_t weight[o, t] · x[n, p + t − before])
//     dy = d_output[n, o, w] at the position that window w kept, else 0
//     dz = a > 0 ? scale · (dy − terms₀ − x̂ · terms₁) : 0,  x̂ = (a − mean) / √(variance + ε)
//     partial[o, t] = Σ_n,p dz · x[n, p + t − before],  t < taps
//     partial[o, taps] = Σ_n,p dz
// The input needs no gradient.
//
// The input is [clip, band, step]; other tensors hold channels in quads: [clip, channel/4, band,
// step] of vec4. A line is a row of positions along the kernel, cut into segments of whole windows.
// Each thread walks the lines of a row of windows, segment by segment, with the inputs of one
// position in registers; then the workgroup adds up. Workgroups: x the shares (each takes every
// x-th batch of 64 items), y the quads.

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
// [batch, out_quads, pooled bands, pooled steps]
@group(0) @binding(4) var<storage, read> d_output: array<vec4f>;
// [batch, out_quads, pooled bands, pooled steps]
@group(0) @binding(5) var<storage, read> code: array<u32>;
// [3, quads]: mean, 1 / √(variance + ε), scale
@group(0) @binding(6) var<storage, read> moments: array<vec4f>;
// [2, quads]
@group(0) @binding(7) var<storage, read> terms: array<vec4f>;
// [shares, out_quads, taps + 1]
@group(0) @binding(8) var<storage, read_write> partial: array<vec4f>;

const LANES = 64u;
// Positions of a segment at most.
const SEGMENT = 64u;

var<workgroup> sums: array<vec4f, 640>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let quad = group.y;
    let quads = groups.y;
    let pooled_plane = params.windows * params.window_rows;
    let rows = (params.lines + params.window_lines - 1u) / params.window_lines;
    // Windows of a line (a cut one at its end included), of a segment, and segments of a line.
    let along = (params.length + params.window - 1u) / params.window;
    let pieces = min((params.length + SEGMENT - 1u) / SEGMENT, along);
    let windows = (along + pieces - 1u) / pieces;
    let segments = (along + windows - 1u) / windows;
    let per_clip = rows * segments;

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
    let mean = moments[quad];
    let scale = moments[2u * quads + quad];
    let constant = terms[quad];
    let slope = terms[quads + quad] * moments[quads + quad];

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
        item < params.batch * per_clip;
        item += groups.x * LANES
    ) {
        let clip = item / per_clip;
        let i = item % per_clip;
        // Neighbouring lanes take neighbouring memory.
        let row = select(i / segments, i % rows, params.across == 1u);
        let segment = select(i % segments, i / rows, params.across == 1u);
        let first = segment * windows * params.window;
        let end = min(first + windows * params.window, params.length);
        let pooled_base = (clip * quads + quad) * pooled_plane + row * params.pooled_across;
        let lines = min(params.window_lines, params.lines - row * params.window_lines);
        var l = 0u;
        loop {
            let line = row * params.window_lines + l;
            let base = clip * params.length * params.lines + line * params.across;
            var at = i32(first) - i32(params.before);
            var x0 = load(base, at + 0);
            var x1 = load(base, at + 1);
            var x2 = load(base, at + 2);
            var x3 = load(base, at + 3);
            var x4 = load(base, at + 4);
            var x5 = load(base, at + 5);
            var x6 = load(base, at + 6);
            var x7 = load(base, at + 7);
            at += 8;
            var d = vec4f();
            var kept = vec4u();
            var within = 0u;
            for (var p = first; p < end; p++) {
                if within == 0u {
                    let window = p / params.window;
                    d = vec4f();
                    if window < params.windows && row < params.window_rows {
                        let place = pooled_base + window * params.pooled_along;
                        d = d_output[place];
                        kept = (vec4u(code[place]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
                    }
                }
                let x8 = load(base, at);
                var sum = b;
                sum = fma(w0, vec4f(x0), sum);
                sum = fma(w1, vec4f(x1), sum);
                sum = fma(w2, vec4f(x2), sum);
                sum = fma(w3, vec4f(x3), sum);
                sum = fma(w4, vec4f(x4), sum);
                sum = fma(w5, vec4f(x5), sum);
                sum = fma(w6, vec4f(x6), sum);
                sum = fma(w7, vec4f(x7), sum);
                sum = fma(w8, vec4f(x8), sum);
                let a = max(sum, vec4f());
                let here = vec4u(l * params.code_across + within * params.code_along);
                let dy = select(vec4f(), d, kept == here);
                let gradient =
                    select(vec4f(), scale * (dy - constant - (a - mean) * slope), a > vec4f());
                t0 = fma(gradient, vec4f(x0), t0);
                t1 = fma(gradient, vec4f(x1), t1);
                t2 = fma(gradient, vec4f(x2), t2);
                t3 = fma(gradient, vec4f(x3), t3);
                t4 = fma(gradient, vec4f(x4), t4);
                t5 = fma(gradient, vec4f(x5), t5);
                t6 = fma(gradient, vec4f(x6), t6);
                t7 = fma(gradient, vec4f(x7), t7);
                t8 = fma(gradient, vec4f(x8), t8);
                t9 += gradient;
                x0 = x1; x1 = x2; x2 = x3; x3 = x4; x4 = x5; x5 = x6; x6 = x7; x7 = x8;
                at += 1;
                within = select(within + 1u, 0u, within + 1u == params.window);
            }
            continuing {
                l++;
                break if l >= lines;
            }
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
    if lane <= params.taps {
        let column = select(lane, 9u, lane == params.taps);
        var sum = vec4f();
        for (var k = 0u; k < LANES; k++) {
            sum += sums[column * LANES + k];
        }
        partial[(group.x * quads + quad) * (params.taps + 1u) + lane] = sum;
    }
}
