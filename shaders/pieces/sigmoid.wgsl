// The sigmoid, from e = exp(−|x|), which never overflows:
//     p = 1 / (1 + e) for x ≥ 0, e / (1 + e) below

fn decay(x: f32) -> f32 {
    return exp(max(-abs(x), -87.0));
}

fn sigmoid(x: f32) -> f32 {
    let e = decay(x);
    return select(e, 1.0, x >= 0.0) / (1.0 + e);
}
