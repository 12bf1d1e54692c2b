// Centroid and rolloff of magnitude spectra. With m[k] = √power[clip, frame, k] and
// C[k] = m[0] + … + m[k]:
//     centroids[clip, frame] = bin_hz · Σ_k k·m[k] / Σ_k m[k]
//     rolloffs[clip, frame] = bin_hz · min {k : C[k] ≥ share · C[bins − 1]}
// and 0 for both where every bin is 0.
// A workgroup owns a frame, a thread a run of neighbouring bins. One thread adds the runs' sums in
// order; the thread in whose run the share is reached walks it again, with the same sums.

struct Params {
    clips: u32,
    frames: u32,
    bins: u32,
    // Hz from a bin to the next.
    bin_hz: f32,
    // In (0, 1).
    share: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, frames, bins]
@group(0) @binding(1) var<storage, read> power: array<f32>;
// [clips, frames]
@group(0) @binding(2) var<storage, read_write> centroids: array<f32>;
// [clips, frames]
@group(0) @binding(3) var<storage, read_write> rolloffs: array<f32>;

const THREADS = 64u;

// Of each run: what the runs up to its end sum to, and the same with bins as weights.
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> moments: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let row = group.y * params.frames + group.x;
    let spectrum = row * params.bins;
    let length = (params.bins + THREADS - 1u) / THREADS;
    let first = min(thread * length, params.bins);
    let end = min(first + length, params.bins);
    var sum = 0.0;
    var moment = 0.0;
    for (var k = first; k < end; k++) {
        let magnitude = sqrt(power[spectrum + k]);
        sum += magnitude;
        moment = fma(f32(k), magnitude, moment);
    }
    sums[thread] = sum;
    moments[thread] = moment;
    workgroupBarrier();
    if thread == 0u {
        for (var run = 1u; run < THREADS; run++) {
            sums[run] += sums[run - 1u];
            moments[run] += moments[run - 1u];
        }
    }
    workgroupBarrier();
    let total = sums[THREADS - 1u];
    if thread == 0u {
        let centroid = moments[THREADS - 1u] / max(total, 1e-37);
        centroids[row] = params.bin_hz * centroid;
    }
    let enough = params.share * total;
    let before = select(0.0, sums[max(thread, 1u) - 1u], thread > 0u);
    // The first run that reaches the share; in silence it is the first of all.
    if sums[thread] >= enough && (thread == 0u || before < enough) {
        var k = first;
        var inside = 0.0;
        for (; k + 1u < end; k++) {
            inside += sqrt(power[spectrum + k]);
            if before + inside >= enough {
                break;
            }
        }
        rolloffs[row] = params.bin_hz * f32(k);
    }
}
