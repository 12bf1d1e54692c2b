// The softmax over a clip's moods:
//     p[m] = exp(x[m] − max) / Σ_k exp(x[k] − max)
// A kernel gives `logits` and `params.moods`.

struct Softmax {
    highest: f32,
    total: f32,
}

// e to a power of at most 0, within normal f32.
fn shrink(power: f32) -> f32 {
    return exp(max(power, -87.0));
}

// What all moods share, of the clip whose logits begin at `first`.
fn softmax(first: u32) -> Softmax {
    var highest = logits[first];
    for (var m = 1u; m < params.moods; m++) {
        highest = max(highest, logits[first + m]);
    }
    var total = 0.0;
    for (var m = 0u; m < params.moods; m++) {
        total += shrink(logits[first + m] - highest);
    }
    return Softmax(highest, total);
}

// The p of a logit.
fn probability(x: f32, clip: Softmax) -> f32 {
    return shrink(x - clip.highest) / clip.total;
}
