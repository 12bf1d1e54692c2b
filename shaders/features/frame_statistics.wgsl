// Mean and population standard deviation over the frames of three series:
//     statistics[clip, 2·s] = Σ_t x[s, clip, t] / frames
//     statistics[clip, 2·s + 1] = √(Σ_t (x[s, clip, t] − mean)² / frames)
// A workgroup owns a series of a clip: each thread walks every 256th frame, then halves are added.

struct Params {
    clips: u32,
    frames: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Three series, each [clips, frames]
@group(0) @binding(1) var<storage, read> rates: array<f32>;
@group(0) @binding(2) var<storage, read> centroids: array<f32>;
@group(0) @binding(3) var<storage, read> rolloffs: array<f32>;
// [clips, 6]
@group(0) @binding(4) var<storage, read_write> statistics: array<f32>;

const THREADS = 256u;

var<workgroup> sums: array<f32, THREADS>;

fn value(series: u32, at: u32) -> f32 {
    switch series {
        case 0u: { return rates[at]; }
        case 1u: { return centroids[at]; }
        default: { return rolloffs[at]; }
    }
}

// Leaves the sum of what all threads bring in sums[0].
fn add_up(own: f32, thread: u32) {
    sums[thread] = own;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            sums[thread] += sums[thread + half];
        }
    }
    workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let series = group.x;
    let start = group.y * params.frames;
    var own = 0.0;
    for (var t = thread; t < params.frames; t += THREADS) {
        own += value(series, start + t);
    }
    add_up(own, thread);
    let mean = sums[0] / f32(params.frames);
    workgroupBarrier();
    own = 0.0;
    for (var t = thread; t < params.frames; t += THREADS) {
        let distance = value(series, start + t) - mean;
        own = fma(distance, distance, own);
    }
    add_up(own, thread);
    if thread == 0u {
        let first = 6u * group.y + 2u * series;
        statistics[first] = mean;
        statistics[first + 1u] = sqrt(sums[0] / f32(params.frames));
    }
}
