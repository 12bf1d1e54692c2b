// A sigmoid for each mood, binary cross-entropy against multi-hot targets from the logits x, and the
// gradient to them. With e = exp(−|x|), which never overflows:
//     p[n, m] = 1 / (1 + e) for x ≥ 0, e / (1 + e) below
//     loss[n] = mean over m of max(x, 0) − x · target + ln(1 + e)
//     d_logits[n, m] = (p − target) / (moods · batch), without subtracting near 1
// One thread a clip: there are only a few moods.

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

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.batch {
        return;
    }
    let first = id.x * params.moods;
    let share = 1.0 / (f32(params.moods) * f32(params.batch));
    var sum = 0.0;
    for (var m = 0u; m < params.moods; m++) {
        let x = logits[first + m];
        let wanted = targets[first + m];
        let e = decay(x);
        probabilities[first + m] = sigmoid(x);
        // p − target, multiplied by 1 + e.
        let slope = select(e * (1.0 - wanted) - wanted, (1.0 - wanted) - e * wanted, x >= 0.0);
        sum += max(x, 0.0) - x * wanted + log_one_plus(e);
        d_logits[first + m] = slope / (1.0 + e) * share;
    }
    loss[id.x] = sum / f32(params.moods);
}
