// Decibels, held within a range below the clip's loudest:
//     dB(S) = 10·log10(max(1e-10, S))
//     decibels[clip, i] = max(dB(energies[clip, i]), dB(peak[clip]) − top_db)
// One thread an element.

struct Params {
    clips: u32,
    // Elements of a clip.
    size: u32,
    top_db: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, size]
@group(0) @binding(1) var<storage, read> energies: array<f32>;
// [clips]
@group(0) @binding(2) var<storage, read> peak: array<f32>;
// [clips, size]
@group(0) @binding(3) var<storage, read_write> decibels: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.size {
        return;
    }
    let at = id.y * params.size + id.x;
    decibels[at] = max(in_decibels(energies[at]), in_decibels(peak[id.y]) - params.top_db);
}
