// Mel energies:
//     energies[clip, m, frame] = Σ_k weight[m, k] · power[clip, frame, k]
// over the few bins where the band's triangle is not zero. A workgroup owns a band of a clip over
// 64 frames, one a thread, so that all of its threads read the same weights.

struct Params {
    clips: u32,
    frames: u32,
    bins: u32,
    mels: u32,
    weights: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, frames, bins]
@group(0) @binding(1) var<storage, read> power: array<f32>;
// [mels, 3]: first bin, number of bins, where its weights start
@group(0) @binding(2) var<storage, read> bands: array<u32>;
// [weights]
@group(0) @binding(3) var<storage, read> weights: array<f32>;
// [clips, mels, frames]
@group(0) @binding(4) var<storage, read_write> energies: array<f32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let frame = 64u * group.x + thread;
    let band = group.y;
    let clip = group.z;
    if frame >= params.frames {
        return;
    }
    let first = (clip * params.frames + frame) * params.bins + bands[3u * band];
    let count = bands[3u * band + 1u];
    let offset = bands[3u * band + 2u];
    var sum = 0.0;
    for (var i = 0u; i < count; i++) {
        sum = fma(weights[offset + i], power[first + i], sum);
    }
    energies[(clip * params.mels + band) * params.frames + frame] = sum;
}
