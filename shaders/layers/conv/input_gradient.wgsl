// Gradient of a convolution to its (scaled) input: a convolution of the output's gradient with the
// taps reversed,
//     d_input[n, i, p] = Σ_o,r,t weight[o, i, r, t] · d_output[n, o, line − r + above, p − t + before]
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4. How the work is laid out
// stands in the piece.

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
// A window that begins at input quad params.first. For each input quad: [out_quads, rows, 3 · groups],
// filled up to a multiple of 4, taps reversed, of a vec4 for each output channel of the quad.
@group(0) @binding(2) var<uniform> weight: array<vec4f, 4096>;
@group(0) @binding(3) var<storage, read_write> d_input: array<vec4f>;

// Where a thread's results go, and how many there are.
var<private> base: u32;
var<private> count: u32;

// A line of a quad of the gradient.
struct Source {
    row: u32,
    limit: i32,
}

fn source_of(q: u32) -> Source {
    return Source(0u, 0);
}

fn element(source: Source, at: u32) -> vec4f {
    return d_output[at];
}

fn first_sum(quad: u32) -> vec4f {
    return vec4f();
}

fn aim(quad: u32, first: u32, results: u32) {
    base = first;
    count = results;
}

fn store(position: u32, sum: vec4f) {
    if position < count {
        d_input[base + position * params.along] = sum;
    }
}

fn finish(lane: u32, row: u32) {}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    convolve(group, lane, params.out_quads, params.in_quads);
}
