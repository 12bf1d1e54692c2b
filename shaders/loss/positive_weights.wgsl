// Class weights: what a weight w[m] on the positive term of a mood adds to a binary cross-entropy
// that was computed without. With v[n, m] = (w[m] − 1) · target / moods:
//     sigmoid:  loss[n] += Σ_m −v · ln p               d_logits[n, m] += v · (p − 1) / batch
//     softmax:  loss[n] += Σ_m −v · ln c               d_logits[n, m] += (p · Σ_k u[k] − u[m]) / batch
// where c = clamp(p, 1e−7, 1 − 1e−7), and u is v where p is not clipped, else 0. The probabilities p
// are computed again from the logits x; the sigmoid's −ln p is max(−x, 0) + ln(1 + exp(−|x|)).
// One thread a clip: there are only a few moods.

struct Params {
    batch: u32,
    moods: u32,
    // Whether the probabilities are a softmax's; else each is a sigmoid's.
    softmax: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, moods]
@group(0) @binding(1) var<storage, read> logits: array<f32>;
// [batch, moods]
@group(0) @binding(2) var<storage, read> targets: array<f32>;
// [moods]
@group(0) @binding(3) var<storage, read> weights: array<f32>;
// [batch]
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
// [batch, moods]
@group(0) @binding(5) var<storage, read_write> d_logits: array<f32>;

const LOWEST = 1e-7;
const HIGHEST = 1.0 - 1e-7;

// v of an element.
fn excess(first: u32, m: u32) -> f32 {
    return (weights[m] - 1.0) * targets[first + m] / f32(params.moods);
}

fn with_sigmoids(n: u32, first: u32) {
    var sum = 0.0;
    for (var m = 0u; m < params.moods; m++) {
        let x = logits[first + m];
        let v = excess(first, m);
        sum = fma(v, max(-x, 0.0) + log_one_plus(decay(x)), sum);
        // 1 − p, without subtracting near 1.
        d_logits[first + m] -= v * sigmoid(-x) / f32(params.batch);
    }
    loss[n] += sum;
}

fn with_softmax(n: u32, first: u32) {
    let clip = softmax(first);
    var sum = 0.0;
    var pull = 0.0;
    for (var m = 0u; m < params.moods; m++) {
        let p = probability(logits[first + m], clip);
        let v = excess(first, m);
        sum -= v * log(clamp(p, LOWEST, HIGHEST));
        pull += select(0.0, v, p > LOWEST && p < HIGHEST);
    }
    loss[n] += sum;
    for (var m = 0u; m < params.moods; m++) {
        let p = probability(logits[first + m], clip);
        let u = select(0.0, excess(first, m), p > LOWEST && p < HIGHEST);
        d_logits[first + m] += (p * pull - u) / f32(params.batch);
    }
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch {
        return;
    }
    if params.softmax != 0u {
        with_softmax(id.x, id.x * params.moods);
    } else {
        with_sigmoids(id.x, id.x * params.moods);
    }
}
