// layers/conv/forward for more input channels than a uniform binding has weights for.

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
// For each output quad: [in_quads, rows, 3 · groups], filled up to a multiple of 4, of a vec4 for each
// input channel of the quad.
@group(0) @binding(3) var<storage, read> weight: array<vec4f>;
// [out_channels]
@group(0) @binding(4) var<storage, read> bias: array<f32>;
// [out_channels]
@group(0) @binding(5) var<storage, read> pivot: array<f32>;
@group(0) @binding(6) var<storage, read_write> output: array<vec4f>;
// [shares, out_quads, 2]
@group(0) @binding(7) var<storage, read_write> partial: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    convolve(group, lane, params.in_quads, (params.out_channels + 3u) / 4u);
}
