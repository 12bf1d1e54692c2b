// What the convolution of a branch's first block reads, forwards and backwards. A kernel gives
// `input`, `weight` and `params`; the piece `quads` goes with this one.

// Entries of quad q; zero past the last channel.
fn weight_of(q: u32, tap: u32) -> vec4f {
    let i = places(q) * params.taps + min(tap, params.taps - 1u);
    let value = vec4f(weight[i.x], weight[i.y], weight[i.z], weight[i.w]);
    return select(vec4f(), masked(q, value), tap < params.taps);
}

// The standardised input at a position of a line; zero outside.
fn load(row: u32, position: i32) -> f32 {
    let inside = position >= 0 && position < i32(params.length);
    let value = input[row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along];
    return select(0.0, (value - params.mean) * params.inverse_deviation, inside);
}
