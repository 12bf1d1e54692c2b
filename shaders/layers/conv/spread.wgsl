// A branch's planar input as one quad, for a first block that the `entry_` kernels do not take:
//     output[clip, band, step] = (input[clip, band, step], 0, 0, 0)
// and the scale and shift that leave it as it is. One thread an element.

struct Params {
    elements: u32,
    // Threads of a row of workgroups.
    row: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;
// Scale, then shift.
@group(0) @binding(3) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let at = id.y * params.row + id.x;
    if at == 0u {
        affine[0] = vec4f(1.0);
        affine[1] = vec4f();
    }
    if at >= params.elements {
        return;
    }
    output[at] = vec4f(input[at], 0.0, 0.0, 0.0);
}
