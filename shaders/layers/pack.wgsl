// Gathers the parameters into the order in which kernels read weights:
//     packed[i] = parameters[table[i]],  zero where the table points past the last one
// One dispatch packs the weights of every layer. One thread four elements.

struct Params {
    parameters: u32,
    // Groups of four elements of the table.
    quads: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> parameters: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let quad = id.y * 64u * groups.x + id.x;
    if quad >= params.quads {
        return;
    }
    let places = table[quad];
    let there = places < vec4u(params.parameters);
    let at = select(vec4u(), places, there);
    let values = vec4f(parameters[at.x], parameters[at.y], parameters[at.z], parameters[at.w]);
    packed[quad] = select(vec4f(), values, there);
}
