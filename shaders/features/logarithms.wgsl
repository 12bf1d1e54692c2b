// Compressed energies:
//     logarithms[i] = log10(1 + 10000 · energies[i])
// One thread an element.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [elements]
@group(0) @binding(1) var<storage, read> energies: array<f32>;
// [elements]
@group(0) @binding(2) var<storage, read_write> logarithms: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let i = id.y * groups.x * 64u + id.x;
    if i < params.elements {
        logarithms[i] = 0.1 * in_decibels(fma(1e4, energies[i], 1.0));
    }
}
