// A gradient below 2^-80 counts as none. Walked back over a thousand steps it shrinks until a CPU meets
// numbers below 2^-126, over each of which it takes tens of times as long; Adam, whose ε is 1e-8, sees no
// difference, and what is multiplied with a kept one stays above 2^-126. NaN stays, so that it is noticed.
fn unless_vanished(gradient: vec4f) -> vec4f {
    return select(gradient, vec4f(), abs(gradient) < vec4f(0x1p-80f));
}
