// The sum of two feature maps, each normalised:
//     output[n, c, p] = scale_a[c] · a[n, c, p] + shift_a[c] + scale_b[c] · b[n, c, p] + shift_b[c]
// `affine` becomes the scale and the shift that change nothing. The gradient to either is the gradient
// to the sum.
//
// Maps hold channels in quads: [clip, channel/4, place] of vec4. One thread a quad.

struct Params {
    clips: u32,
    quads: u32,
    // Places of a map.
    plane: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
// [2, quads]: scale, then shift
@group(0) @binding(2) var<storage, read> a_affine: array<vec4f>;
@group(0) @binding(3) var<storage, read> b: array<vec4f>;
@group(0) @binding(4) var<storage, read> b_affine: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> output: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let quads = params.quads;
    if id.x < 2u * quads && id.y == 0u && id.z == 0u {
        affine[id.x] = vec4f(select(0.0, 1.0, id.x < quads));
    }
    if id.x >= params.plane {
        return;
    }
    let at = (id.z * quads + id.y) * params.plane + id.x;
    let first = fma(a[at], a_affine[id.y], a_affine[quads + id.y]);
    output[at] = first + fma(b[at], b_affine[id.y], b_affine[quads + id.y]);
}
