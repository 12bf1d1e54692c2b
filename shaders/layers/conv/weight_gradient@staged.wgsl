// layers/conv/weight_gradient for a GPU, whose threads share what they read. The general schedule keeps the
// sums of nine taps in the registers of each thread, 144 numbers, so that few threads fit a processor and
// little computes while memory is waited for; and every pair of quads reads both planes for itself. Here a
// workgroup stages runs of positions of four output and four input quads in its memory, and a thread keeps
// three taps of one pair.
//
// Workgroups: x the shares (each takes every x-th batch of four runs), y fours of output quads, z fours of
// input quads, for each the lines of the kernel, for each the runs of its taps. Threads: of a group of three
// taps, for each of the four runs, 4 × 4 pairs of quads, those of the input first.

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

// Quads of a workgroup on either side.
const QUADS = 4u;
// Runs of positions that are staged at a time.
const RUNS = 4u;
const PAIRS = QUADS * QUADS;
override THREADS = 64u * GROUPS;
// Threads that stage a run.
override STAGERS = 16u * GROUPS;
// Positions of a run at most, and of the input around it.
const RUN = 16u;
const WINDOW = RUN + 8u;
// Rows lie one further apart, in different banks.
const D_ROW = RUN + 1u;
const X_ROW = WINDOW + 1u;
const X_ROWS = RUNS * QUADS * D_ROW;

// Of each run and quad: the gradient, then the input; at the end, sums of all threads.
var<workgroup> staged: array<vec4f, 672>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let plane = params.length * params.lines;
    let runs_of_line = (params.length + RUN - 1u) / RUN;
    let run = (params.length + runs_of_line - 1u) / runs_of_line;
    let per_clip = runs_of_line * params.lines;
    let items = params.clips * per_clip;
    let taps = 2u * params.before + 1u;
    let tap_runs = (taps + 3u * GROUPS - 1u) / (3u * GROUPS);
    let first_tap = 3u * GROUPS * (group.z % tap_runs);
    let r = group.z / tap_runs % params.rows;
    let first_in = QUADS * (group.z / tap_runs / params.rows);
    let first_out = QUADS * group.y;

    // Neighbouring threads read neighbouring memory: of the same line, or of neighbouring lines.
    let stager = lane / RUNS % STAGERS;
    let over_lines = params.across == 1u;
    let staged_run = select(lane / STAGERS, lane % RUNS, over_lines);
    let of_run = select(lane % STAGERS, stager, over_lines);

    let tap_group = lane / (RUNS * PAIRS);
    let own_run = lane / PAIRS % RUNS;
    let out_quad = lane / QUADS % QUADS;
    let in_quad = lane % QUADS;
    let d_row = (own_run * QUADS + out_quad) * D_ROW;
    let x_row = X_ROWS + (own_run * QUADS + in_quad) * X_ROW + 3u * tap_group;
    let sums_bias = group.z == 0u && tap_group == 0u;

    var b = vec4f();
    var t0x = vec4f();    var t0y = vec4f();    var t0z = vec4f();    var t0w = vec4f();
    var t1x = vec4f();    var t1y = vec4f();    var t1z = vec4f();    var t1w = vec4f();
    var t2x = vec4f();    var t2y = vec4f();    var t2z = vec4f();    var t2w = vec4f();

    for (var batch = group.x * RUNS; batch < items; batch += groups.x * RUNS) {
        let item = batch + staged_run;
        let clip = item / per_clip;
        let i = item % per_clip;
        let line = select(i / runs_of_line, i % params.lines, over_lines);
        let first = run * select(i % runs_of_line, i / params.lines, over_lines);
        let end = select(0u, min(first + run, params.length), item < items);
        for (var e = of_run; e < QUADS * RUN; e += STAGERS) {
            let quad = first_out + e / RUN;
            let p = first + e % RUN;
            var d = vec4f();
            if p < end && quad < params.out_quads {
                let at = (clip * params.out_quads + quad) * plane + line * params.across;
                d = d_output[at + p * params.along];
            }
            staged[(staged_run * QUADS + e / RUN) * D_ROW + e % RUN] = d;
        }
        let other = i32(line) + i32(r) - i32(params.above);
        let on_plane = item < items && other >= 0 && other < i32(params.lines);
        for (var e = of_run; e < QUADS * WINDOW; e += STAGERS) {
            let quad = first_in + e / WINDOW;
            let p = i32(first + e % WINDOW + first_tap) - i32(params.before);
            var x = vec4f();
            if on_plane && p >= 0 && p < i32(params.length) && quad < params.in_quads {
                let at = (clip * params.in_quads + quad) * plane + u32(other) * params.across;
                let scaled = input[at + u32(p) * params.along];
                x = fma(scaled, affine[quad], affine[params.in_quads + quad]);
            }
            staged[X_ROWS + (staged_run * QUADS + e / WINDOW) * X_ROW + e % WINDOW] = x;
        }
        workgroupBarrier();
        var x0 = staged[x_row];
        var x1 = staged[x_row + 1u];
        // Behind the run's end the gradient is zero.
        for (var p = 0u; p < run; p += 4u) {
            let d0 = staged[d_row + p];
            let d1 = staged[d_row + p + 1u];
            let d2 = staged[d_row + p + 2u];
            let d3 = staged[d_row + p + 3u];
            let x2 = staged[x_row + p + 2u];
            let x3 = staged[x_row + p + 3u];
            let x4 = staged[x_row + p + 4u];
            let x5 = staged[x_row + p + 5u];
            if sums_bias {
                b += d0 + d1 + d2 + d3;
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
            t0x = fma(d3, x3.xxxx, fma(d2, x2.xxxx, t0x));
            t0y = fma(d3, x3.yyyy, fma(d2, x2.yyyy, t0y));
            t0z = fma(d3, x3.zzzz, fma(d2, x2.zzzz, t0z));
            t0w = fma(d3, x3.wwww, fma(d2, x2.wwww, t0w));
            t1x = fma(d3, x4.xxxx, fma(d2, x3.xxxx, t1x));
            t1y = fma(d3, x4.yyyy, fma(d2, x3.yyyy, t1y));
            t1z = fma(d3, x4.zzzz, fma(d2, x3.zzzz, t1z));
            t1w = fma(d3, x4.wwww, fma(d2, x3.wwww, t1w));
            t2x = fma(d3, x5.xxxx, fma(d2, x4.xxxx, t2x));
            t2y = fma(d3, x5.yyyy, fma(d2, x4.yyyy, t2y));
            t2z = fma(d3, x5.zzzz, fma(d2, x4.zzzz, t2z));
            t2w = fma(d3, x5.wwww, fma(d2, x4.wwww, t2w));
            x0 = x4;
            x1 = x5;
        }
        workgroupBarrier();
    }

    // One channel of the input quads after the other: of each pair, the thread of run k adds up tap k of
    // its group over the runs.
    let o = first_out + out_quad;
    let quad = first_in + in_quad;
    let row = ((group.x * params.out_quads + o) * params.in_quads + quad) * params.rows + r;
    let tap = first_tap + 3u * tap_group + own_run;
    let writes = own_run < 3u && tap < taps && o < params.out_quads && quad < params.in_quads;
    let of_pair = lane - own_run * PAIRS;
    for (var c = 0u; c < 4u; c++) {
        switch c {
            case 0u: {
                staged[lane] = t0x;
                staged[THREADS + lane] = t1x;
                staged[2u * THREADS + lane] = t2x;
            }
            case 1u: {
                staged[lane] = t0y;
                staged[THREADS + lane] = t1y;
                staged[2u * THREADS + lane] = t2y;
            }
            case 2u: {
                staged[lane] = t0z;
                staged[THREADS + lane] = t1z;
                staged[2u * THREADS + lane] = t2z;
            }
            default: {
                staged[lane] = t0w;
                staged[THREADS + lane] = t1w;
                staged[2u * THREADS + lane] = t2w;
            }
        }
        workgroupBarrier();
        if writes {
            var sum = vec4f();
            for (var k = 0u; k < RUNS; k++) {
                sum += staged[own_run * THREADS + of_pair + k * PAIRS];
            }
            partial[(row * taps + tap) * 4u + c] = sum;
        }
        workgroupBarrier();
    }

    // Every input quad, line and run of taps sees the same bias gradient; the first ones write it.
    staged[lane] = b;
    workgroupBarrier();
    if sums_bias && own_run == 0u && in_quad == 0u && o < params.out_quads {
        var sum = vec4f();
        for (var k = 0u; k < RUNS; k++) {
            sum += staged[of_pair + k * PAIRS];
        }
        bias_partial[group.x * params.out_quads + o] = sum;
    }
}
