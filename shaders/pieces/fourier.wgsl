// Complex numbers, four at a time, and samples: what Fourier transforms are made of. A kernel gives
// `samples` and `params.samples`.

// Four complex numbers.
struct Four {
    re: vec4f,
    im: vec4f,
}

fn product(a: vec2f, b: vec2f) -> vec2f {
    return vec2f(a.x * b.x - a.y * b.y, a.x * b.y + a.y * b.x);
}

fn products(a: Four, b: Four) -> Four {
    return Four(a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re);
}

fn scaled(a: Four, b: vec2f) -> Four {
    return Four(a.re * b.x - a.im * b.y, a.re * b.y + a.im * b.x);
}

fn sum(a: Four, b: Four) -> Four {
    return Four(a.re + b.re, a.im + b.im);
}

fn difference(a: Four, b: Four) -> Four {
    return Four(a.re - b.re, a.im - b.im);
}

// The transform of the four numbers.
fn within(x: Four) -> Four {
    let sum_re = x.re.xy + x.re.zw;
    let sum_im = x.im.xy + x.im.zw;
    let dif_re = x.re.xy - x.re.zw;
    let dif_im = x.im.xy - x.im.zw;
    return Four(
        vec4f(sum_re.x + sum_re.y, dif_re.x + dif_im.y, sum_re.x - sum_re.y, dif_re.x - dif_im.y),
        vec4f(sum_im.x + sum_im.y, dif_im.x - dif_re.y, sum_im.x - sum_im.y, dif_im.x + dif_re.y),
    );
}

// A sample of a clip; zero outside of it. A negative `at` has wrapped.
fn sample(clip: u32, at: u32) -> f32 {
    let inside = at < params.samples;
    return select(0.0, samples[clip + select(0u, at, inside)], inside);
}
