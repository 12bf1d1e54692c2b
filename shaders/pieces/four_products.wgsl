// What four products add to a quad of sums, in one expression: a software adapter keeps sums in memory, and so loads
// and stores them once for all four.
fn multiply_add(sum: vec4f, own: mat4x4f, x: vec4f) -> vec4f {
    return fma(own[3], x.wwww, fma(own[2], x.zzzz, fma(own[1], x.yyyy, fma(own[0], x.xxxx, sum))));
}
