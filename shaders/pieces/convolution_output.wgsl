// A convolution's sums begin with the bias, and go through ReLU into `output` and into the sums for batch
// norm. A kernel gives `output` and `params`; the pieces `quads` and `activation_sums` go with this one.

// Where a thread's results go, and how many there are.
var<private> base: u32;
var<private> count: u32;

fn first_sum(quad: u32) -> vec4f {
    return bias_of(quad);
}

fn aim(quad: u32, first: u32, results: u32) {
    base = first;
    count = results;
    center = pivot_of(quad);
    total = vec4f();
    squares = vec4f();
}

fn finish(lane: u32, row: u32) {
    put_sums(lane, 2u * row);
}

fn store(position: u32, sum: vec4f) {
    if position < count {
        let value = max(sum, vec4f());
        output[base + position * params.along] = value;
        total += value - center;
        squares += (value - center) * (value - center);
    }
}
