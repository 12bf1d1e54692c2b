// The gradient through the maximum over frequency, batch norm and ReLU of a bank of filters, for the
// gradient to its weights. The activation a of layers/front/forward is computed again:
//     dy = d_output[n, o, t] at the frequency that the maximum kept, else 0
//     gradient[n, o, f, t] = a > 0 ? scale · (dy − terms₀ − x̂ · terms₁) : 0,
//     x̂ = (a − mean) / √(variance + ε)
// Workgroups: x covers the steps or the tiles of all clips, y the quads of this launch.

struct Params {
    // Clips of this launch, the first of them, and all that the tensors hold.
    clips: u32,
    first_clip: u32,
    batch: u32,
    out_channels: u32,
    // Positions of the input along and across the lines, and the distance between neighbours.
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // The same of the output.
    out_length: u32,
    out_lines: u32,
    // Taps along a line, and those before the position.
    taps: u32,
    before: u32,
    // Lines that the kernel spans, and those before the position.
    rows: u32,
    above: u32,
    // What standardises the input.
    mean: f32,
    inverse_deviation: f32,
    // The first quad of this launch, and how many there are in it.
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, bands, steps]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// A window that begins at quad params.first. For each quad: [rows, taps in groups of eight], filled up
// to a multiple of 16.
@group(0) @binding(2) var<uniform> weight: array<vec4f, 4096>;
// [out_channels]
@group(0) @binding(3) var<storage, read> bias: array<f32>;
// [batch, out_quads, steps]
@group(0) @binding(4) var<storage, read> d_output: array<vec4f>;
// [batch, out_quads, steps]
@group(0) @binding(5) var<storage, read> code: array<u32>;
// [3, quads]: mean, 1 / √(variance + ε), scale
@group(0) @binding(6) var<storage, read> moments: array<vec4f>;
// [2, quads]
@group(0) @binding(7) var<storage, read> terms: array<vec4f>;
// [clips, out_quads, frequencies, steps]
@group(0) @binding(8) var<storage, read_write> gradient: array<vec4f>;

// Of this turn: the frequency and the step of the first position, and how many positions count.
var<private> here: u32;
var<private> step: u32;
var<private> counted: u32;
// Where the quad of the clip begins in d_output and in the gradient.
var<private> of_steps: u32;
var<private> of_plane: u32;
// Of the quad.
var<private> mean: vec4f;
var<private> scale: vec4f;
var<private> constant: vec4f;
var<private> slope: vec4f;

fn steps() -> u32 {
    return select(params.out_length, params.out_lines, VERTICAL);
}

fn take(i: u32, sum: vec4f) {
    if i < counted {
        let a = max(sum, vec4f());
        let f = here + select(0u, i, VERTICAL);
        let t = step + select(i, 0u, VERTICAL);
        let kept = (vec4u(code[of_steps + t]) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
        let dy = select(vec4f(), d_output[of_steps + t], kept == vec4u(f));
        let d = scale * (dy - constant - (a - mean) * slope);
        gradient[of_plane + f * steps() + t] = select(vec4f(), d, a > vec4f());
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = (params.out_channels + 3u) / 4u;
    let quad = params.first + group.y;
    let weights = group.y * ((params.rows * 8u * groups() + 15u) & ~15u);
    let b = bias_of(quad);
    mean = moments[quad];
    scale = moments[2u * quads + quad];
    constant = terms[quad];
    slope = terms[quads + quad] * moments[quads + quad];

    var place = place_of(group.x, lane);
    of_plane = (place.clip * quads + quad) * params.out_length * params.out_lines;
    place.clip += params.first_clip;
    of_steps = (place.clip * quads + quad) * steps();
    var turn = 0u;
    loop {
        let now = turned(place, turn);
        counted = select(0u, min(TILE, params.out_length - now.first), now.real);
        here = select(now.line, now.first, VERTICAL);
        step = select(now.first, now.line, VERTICAL);
        convolve(now, weights, b);
        continuing {
            turn++;
            break if turn >= turns();
        }
    }
}
