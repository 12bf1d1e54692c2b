// As many multiply-adds as the adapter can make, for its ceiling:
//     x ← x · factor + term, `rounds` times, for 32 independent x of each thread
//     output[thread] = Σ of its 8 vec4
// Nothing is read inside the loop, and no sum waits for another.

struct Params {
    threads: u32,
    rounds: u32,
    factor: f32,
    term: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [threads]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// [threads] of vec4
@group(0) @binding(2) var<storage, read_write> output: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.threads {
        return;
    }
    let factor = vec4f(params.factor);
    let term = vec4f(params.term);
    let start = vec4f(input[id.x]);
    var x0 = start;
    var x1 = start + vec4f(0.125);
    var x2 = start + vec4f(0.25);
    var x3 = start + vec4f(0.375);
    var x4 = start + vec4f(0.5);
    var x5 = start + vec4f(0.625);
    var x6 = start + vec4f(0.75);
    var x7 = start + vec4f(0.875, 1.0, 1.125, 1.25);
    for (var round = 0u; round < params.rounds; round++) {
        x0 = fma(x0, factor, term);
        x1 = fma(x1, factor, term);
        x2 = fma(x2, factor, term);
        x3 = fma(x3, factor, term);
        x4 = fma(x4, factor, term);
        x5 = fma(x5, factor, term);
        x6 = fma(x6, factor, term);
        x7 = fma(x7, factor, term);
    }
    output[id.x] = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7;
}
