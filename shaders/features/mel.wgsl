// Mel energies:
//     energies[clip, m, frame] = Σ_k weight[m, k] · power[clip, frame, k]
// over the few bins where the band's triangle is not zero. A workgroup owns a band of a clip over 256 frames,
// four a thread, so that all of its threads read the same weights, and each once for four frames.

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

const THREADS = 64u;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let band = group.y;
    let clip = group.z;
    let frames = 4u * THREADS * group.x + thread + THREADS * vec4u(0u, 1u, 2u, 3u);
    // Threads past the last frame repeat it and store nothing.
    let read = min(frames, vec4u(params.frames - 1u));
    var at = (clip * params.frames + read) * params.bins + bands[3u * band];
    let count = bands[3u * band + 1u];
    let offset = bands[3u * band + 2u];
    var sums = vec4f();
    for (var i = 0u; i < count; i++) {
        let bins = vec4f(power[at.x], power[at.y], power[at.z], power[at.w]);
        sums = fma(vec4f(weights[offset + i]), bins, sums);
        at += 1u;
    }
    let row = (clip * params.mels + band) * params.frames;
    let stored = frames < vec4u(params.frames);
    if stored.x {
        energies[row + frames.x] = sums.x;
    }
    if stored.y {
        energies[row + frames.y] = sums.y;
    }
    if stored.z {
        energies[row + frames.z] = sums.z;
    }
    if stored.w {
        energies[row + frames.w] = sums.w;
    }
}
