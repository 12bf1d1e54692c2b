// The largest energy of each clip:
//     peak[clip] = max_i energies[clip, i]
// A workgroup owns a clip: each thread walks every 256th element, then halves are compared.

struct Params {
    clips: u32,
    // Elements of a clip.
    size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, size], none below zero
@group(0) @binding(1) var<storage, read> energies: array<f32>;
// [clips]
@group(0) @binding(2) var<storage, read_write> peak: array<f32>;

const THREADS = 256u;

var<workgroup> largest: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let start = group.x * params.size;
    var own = 0.0;
    for (var i = thread; i < params.size; i += THREADS) {
        own = max(own, energies[start + i]);
    }
    largest[thread] = own;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            largest[thread] = max(largest[thread], largest[thread + half]);
        }
    }
    if thread == 0u {
        peak[group.x] = largest[0];
    }
}
