// Softmax, binary cross-entropy against multi-hot targets, and the gradient to the logits:
//     p[n, m] = exp(logits[n, m] − max) / Σ_k exp(logits[n, k] − max)
//     c = clamp(p, 1e−7, 1 − 1e−7)
//     loss[n] = mean over m of −(target · ln c + (1 − target) · ln(1 − c))
//     d_logits[n, m] = p[n, m] · (g[n, m] − Σ_k p[n, k] · g[n, k]) / batch
// with g = ∂ loss[n] / ∂ p, zero where p is clipped. One thread a clip: there are only a few moods.

struct Params {
    batch: u32,
    moods: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, moods]
@group(0) @binding(1) var<storage, read> logits: array<f32>;
// [batch, moods]
@group(0) @binding(2) var<storage, read> targets: array<f32>;
// [batch, moods]
@group(0) @binding(3) var<storage, read_write> probabilities: array<f32>;
// [batch]
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
// [batch, moods]
@group(0) @binding(5) var<storage, read_write> d_logits: array<f32>;

const LOWEST = 1e-7;
const HIGHEST = 1.0 - 1e-7;

// ∂ loss[n] / ∂ p[n, m]
fn slope(p: f32, wanted: f32) -> f32 {
    if p <= LOWEST || p >= HIGHEST {
        return 0.0;
    }
    return (p - wanted) / (p * (1.0 - p) * f32(params.moods));
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch {
        return;
    }
    let first = id.x * params.moods;
    let clip = softmax(first);
    var sum = 0.0;
    var dot = 0.0;
    for (var m = 0u; m < params.moods; m++) {
        let p = probability(logits[first + m], clip);
        let wanted = targets[first + m];
        let c = clamp(p, LOWEST, HIGHEST);
        probabilities[first + m] = p;
        sum -= wanted * log(c) + (1.0 - wanted) * log(1.0 - c);
        dot += p * slope(p, wanted);
    }
    loss[id.x] = sum / f32(params.moods);
    for (var m = 0u; m < params.moods; m++) {
        let p = probabilities[first + m];
        let g = slope(p, targets[first + m]);
        d_logits[first + m] = p * (g - dot) / f32(params.batch);
    }
}
