// Zero crossing rate of centred frames, the clip's ends repeated beyond it:
//     s[i] = samples[clip, clamp(frame·hop − n_fft/2 + i, 0, samples − 1)] < −1e−10
//     rates[clip, frame] = (number of i in 1 … n_fft − 1 with s[i] ≠ s[i − 1]) / n_fft
// so that zero and what is nearer to it than the threshold count as positive.
// A workgroup owns a frame: each thread counts at every 64th sample, then halves are added.

struct Params {
    clips: u32,
    samples: u32,
    n_fft: u32,
    hop: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, samples]
@group(0) @binding(1) var<storage, read> samples: array<f32>;
// [clips, frames]
@group(0) @binding(2) var<storage, read_write> rates: array<f32>;

const THREADS = 64u;
const THRESHOLD = 1e-10;

var<workgroup> counts: array<u32, THREADS>;

// Whether sample `at` of the frame, counted from n_fft/2 before the clip, is below zero.
fn negative(clip: u32, at: u32) -> bool {
    let before = params.n_fft / 2u;
    let inside = min(max(at, before) - before, params.samples - 1u);
    return samples[clip * params.samples + inside] < -THRESHOLD;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let start = group.x * params.hop;
    var count = 0u;
    for (var i = 1u + thread; i < params.n_fft; i += THREADS) {
        let crosses = negative(group.y, start + i) != negative(group.y, start + i - 1u);
        count += u32(crosses);
    }
    counts[thread] = count;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if thread < half {
            counts[thread] += counts[thread + half];
        }
    }
    if thread == 0u {
        rates[group.y * groups.x + group.x] = f32(counts[0]) / f32(params.n_fft);
    }
}
