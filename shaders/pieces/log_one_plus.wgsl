// ln(1 + e) for e in [0, 1]: the sum would round a small e away.
fn log_one_plus(e: f32) -> f32 {
    return select(log(1.0 + e), e * (1.0 - e * (0.5 - e / 3.0)), e < 0.01);
}
