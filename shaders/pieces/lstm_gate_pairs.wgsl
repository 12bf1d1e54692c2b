// Two gates of a unit at a time, in four columns of the weights: with all four, a software adapter
// compiles two or three times as long. A kernel gives weight_at, an element of the weights.

// The weights of one gate.
fn load_row(start: u32, j0: u32, j1: u32, j2: u32, j3: u32) -> vec4f {
    return vec4f(
        weight_at(start + j0),
        weight_at(start + j1),
        weight_at(start + j2),
        weight_at(start + j3),
    );
}

// The weights of two gates, whose rows are `gate` apart.
fn load(start: u32, gate: u32, j0: u32, j1: u32, j2: u32, j3: u32) -> mat2x4f {
    return mat2x4f(load_row(start, j0, j1, j2, j3), load_row(start + gate, j0, j1, j2, j3));
}

// sum + weight · d_gates, a column of the weights for each gate.
fn multiply_add(sum: vec4f, weight: mat2x4f, d_gates: vec2f) -> vec4f {
    return fma(weight[1], d_gates.yyyy, fma(weight[0], d_gates.xxxx, sum));
}
