// features/stft_power for frames of 2048 samples:
//     x[i] = (½ − ½·cos(2πi/2048)) · samples[clip, frame·hop − padding + i], zero around the clip
//     X[k] = Σ_i x[i]·w^(ik),   w = e^(−2πi/2048)
//     power[clip, frame, k] = |X[k]|²,   k = 0 … 1024
// Two passes in registers, with one exchange through workgroup memory between them; 32 threads own
// a frame, and a workgroup two frames.
//
// First pass: thread j transforms the 64 samples that are 32 apart,
//     Y[q] = Σ_m x[j + 32m]·e^(−2πi·mq/64)
// packed as 32 complex numbers r[m] = x[j + 64m] + i·x[j + 32 + 64m] with the transform R:
//     E[q] = (R[q] + conj R[32 − q]) / 2,   O[q] = (R[q] − conj R[32 − q]) / 2i
//     Y[q] = E[q] + e^(−2πi·q/64)·O[q],   conj Y[32 − q] = E[q] − e^(−2πi·q/64)·O[q]
//
// Second pass: thread q transforms over j,
//     X[q + 64p] = Σ_j w^(jq)·Y_j[q]·e^(−2πi·jp/32),   q = 1 … 31
// where p from 16 on gives the mirror images of bins 2048 − q − 64p. Bins 32u are what is left of
// q = 0 and q = 32: a transform of 64 real numbers, Re R_j[0] and then Im R_j[0], which thread 0
// packs as above. All threads unpack, since one that branches off keeps the others waiting.

struct Params {
    clips: u32,
    samples: u32,
    hop: u32,
    // Zeros before the first sample and behind the last.
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, samples]
@group(0) @binding(1) var<storage, read> samples: array<f32>;
// [1024] of w^k
@group(0) @binding(2) var<storage, read> twiddles: array<vec2f>;
// [clips, frames, 1025]
@group(0) @binding(3) var<storage, read_write> power: array<f32>;

const BINS = 1025u;
const SQRT_HALF = 0.70710678;

// Powers 0 … 3 of e^(−2πi·n/32), n = 1 … 7.
const TURN_1 = Four(
    vec4f(1.0, 0.98078528, 0.92387953, 0.83146961),
    vec4f(0.0, -0.19509032, -0.38268343, -0.55557023),
);
const TURN_2 = Four(
    vec4f(1.0, 0.92387953, 0.70710678, 0.38268343),
    vec4f(0.0, -0.38268343, -0.70710678, -0.92387953),
);
const TURN_3 = Four(
    vec4f(1.0, 0.83146961, 0.38268343, -0.19509032),
    vec4f(0.0, -0.55557023, -0.92387953, -0.98078528),
);
const TURN_4 = Four(
    vec4f(1.0, 0.70710678, 0.0, -0.70710678),
    vec4f(0.0, -0.70710678, -1.0, -0.70710678),
);
const TURN_5 = Four(
    vec4f(1.0, 0.55557023, -0.38268343, -0.98078528),
    vec4f(0.0, -0.83146961, -0.92387953, -0.19509032),
);
const TURN_6 = Four(
    vec4f(1.0, 0.38268343, -0.70710678, -0.92387953),
    vec4f(0.0, -0.92387953, -0.70710678, 0.38268343),
);
const TURN_7 = Four(
    vec4f(1.0, 0.19509032, -0.92387953, -0.55557023),
    vec4f(0.0, -0.98078528, -0.38268343, 0.83146961),
);
// Powers 1 … 7 of e^(−2πi/64).
const STEP_1 = vec2f(0.99518473, -0.09801714);
const STEP_2 = vec2f(0.98078528, -0.19509032);
const STEP_3 = vec2f(0.95694034, -0.29028468);
const STEP_4 = vec2f(0.92387953, -0.38268343);
const STEP_5 = vec2f(0.88192126, -0.47139674);
const STEP_6 = vec2f(0.83146961, -0.55557023);
const STEP_7 = vec2f(0.77301045, -0.63439328);

// Of each of two frames, the real parts [q, j], then the imaginary parts.
var<workgroup> exchange: array<f32, 4096>;

// a − i·b and a + i·b
fn clockwise(a: Four, b: Four) -> Four {
    return Four(a.re + b.im, a.im - b.re);
}

fn counterclockwise(a: Four, b: Four) -> Four {
    return Four(a.re - b.im, a.im + b.re);
}

fn reversed(x: Four) -> Four {
    return Four(x.re.wzyx, x.im.wzyx);
}

// The transform of 32 numbers: lane l of row a is number 4a + l, lane d of the result's row b is
// output b + 8d. Radix 8 over the rows, then 4 within each.
fn transformed(x: array<Four, 8>) -> array<Four, 8> {
    let a0 = sum(x[0], x[4]);
    let a1 = sum(x[1], x[5]);
    let a2 = sum(x[2], x[6]);
    let a3 = sum(x[3], x[7]);
    let b0 = difference(x[0], x[4]);
    let b1 = difference(x[1], x[5]);
    let b2 = difference(x[2], x[6]);
    let b3 = difference(x[3], x[7]);
    // b1 and b3 turned by an eighth and by three eighths of a circle.
    let c1 = Four(SQRT_HALF * (b1.re + b1.im), SQRT_HALF * (b1.im - b1.re));
    let c3 = Four(SQRT_HALF * (b3.im - b3.re), -SQRT_HALF * (b3.re + b3.im));
    let even = sum(a0, a2);
    let odd = sum(a1, a3);
    let even_2 = difference(a0, a2);
    let odd_2 = difference(a1, a3);
    let even_1 = clockwise(b0, b2);
    let odd_1 = sum(c1, c3);
    let even_3 = counterclockwise(b0, b2);
    let odd_3 = difference(c1, c3);
    return array(
        within(sum(even, odd)),
        within(products(sum(even_1, odd_1), TURN_1)),
        within(products(clockwise(even_2, odd_2), TURN_2)),
        within(products(clockwise(even_3, odd_3), TURN_3)),
        within(products(difference(even, odd), TURN_4)),
        within(products(difference(even_1, odd_1), TURN_5)),
        within(products(counterclockwise(even_2, odd_2), TURN_6)),
        within(products(counterclockwise(even_3, odd_3), TURN_7)),
    );
}

// E[q] from the halves of R[q] and R[32 − q].
fn even_part(a: Four, b: Four) -> Four {
    return Four(a.re + b.re, a.im - b.im);
}

// e^(−2πi·q/64)·O[q] from the same, q = b + 8d, given the power b of e^(−2πi/64).
fn odd_part(a: Four, b: Four, step: vec2f) -> Four {
    return products(Four(a.im + b.im, b.re - a.re), scaled(TURN_4, step));
}

// Samples at + 64·(0 … 3).
fn four_samples(clip: u32, at: u32) -> vec4f {
    return vec4f(
        sample(clip, at),
        sample(clip, at + 64u),
        sample(clip, at + 128u),
        sample(clip, at + 192u),
    );
}

// Half of r[m], m = 4·row + (0 … 3), given a quarter of the window's cosines.
fn packed(clip: u32, first: u32, row: u32, cos_re: vec4f, cos_im: vec4f) -> Four {
    let at = first + 256u * row;
    return Four(
        (0.25 - cos_re) * four_samples(clip, at),
        (0.25 - cos_im) * four_samples(clip, at + 32u),
    );
}

// Y[q] into column j of row q, which lies at j ^ q, so that rows and columns meet all banks.
fn put(frame: u32, q: u32, j: u32, re: f32, im: f32) {
    let at = frame + 32u * q + (j ^ q);
    exchange[at] = re;
    exchange[1024u + at] = im;
}

// The same for q = b + 8d, times w^(jq).
fn put_rows(frame: u32, b: u32, j: u32, y: Four, w: Four) {
    let x = products(y, w);
    put(frame, b, j, x.re.x, x.im.x);
    put(frame, b + 8u, j, x.re.y, x.im.y);
    put(frame, b + 16u, j, x.re.z, x.im.z);
    put(frame, b + 24u, j, x.re.w, x.im.w);
}

fn conjugate(x: Four) -> Four {
    return Four(x.re, -x.im);
}

// Columns 4a … 4a + 3 of row q.
fn columns(frame: u32, q: u32, a: u32) -> Four {
    let row = frame + 32u * q;
    let i = vec4u(4u * a, 4u * a + 1u, 4u * a + 2u, 4u * a + 3u) ^ vec4u(q);
    return Four(
        vec4f(exchange[row + i.x], exchange[row + i.y], exchange[row + i.z], exchange[row + i.w]),
        vec4f(
            exchange[1024u + row + i.x],
            exchange[1024u + row + i.y],
            exchange[1024u + row + i.z],
            exchange[1024u + row + i.w],
        ),
    );
}

// Powers at four places from outputs b + 8d of the second pass; those of thread 0 need the partners
// 32 − b − 8d.
fn put_powers(at: vec4u, own: Four, partner: Four, step: vec2f, first: bool) {
    let real = sum(even_part(own, partner), odd_part(own, partner, step));
    let x = Four(select(own.re, real.re, first), select(own.im, real.im, first));
    let squared = x.re * x.re + x.im * x.im;
    power[at.x] = squared.x;
    power[at.y] = squared.y;
    power[at.z] = squared.z;
    power[at.w] = squared.w;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let frames = 1u + (params.samples + 2u * params.padding - 2048u) / params.hop;
    let index = 2u * group.x + thread / 32u;
    let frame = thread / 32u * 2048u;
    let clip = group.y * params.samples;
    let j = thread % 32u;

    // The window's cosines at j + 64m and j + 32 + 64m, m = 0 … 3; from a row to the next they turn
    // by an eighth of a circle.
    let w = twiddles[j];
    let c = scaled(TURN_1, 0.25 * w);
    let s = scaled(TURN_1, 0.25 * twiddles[j + 32u]);
    let c1 = SQRT_HALF * (c.re + c.im);
    let s1 = SQRT_HALF * (s.re + s.im);
    let c3 = SQRT_HALF * (c.im - c.re);
    let s3 = SQRT_HALF * (s.im - s.re);
    let start = index * params.hop - params.padding + j;
    let r = transformed(array(
        packed(clip, start, 0u, c.re, s.re),
        packed(clip, start, 1u, c1, s1),
        packed(clip, start, 2u, c.im, s.im),
        packed(clip, start, 3u, c3, s3),
        packed(clip, start, 4u, -c.re, -s.re),
        packed(clip, start, 5u, -c1, -s1),
        packed(clip, start, 6u, -c.im, -s.im),
        packed(clip, start, 7u, -c3, -s3),
    ));

    let w2 = product(w, w);
    let w3 = product(w2, w);
    let w4 = product(w2, w2);
    let w8 = product(w4, w4);
    let w16 = product(w8, w8);
    let w24 = product(w16, w8);
    let powers_of_8 = Four(vec4f(1.0, w8.x, w16.x, w24.x), vec4f(0.0, w8.y, w16.y, w24.y));
    // Row 0: 64 real numbers, halved and in pairs.
    let pair = frame + (j & 1u) * 1024u + j / 2u;
    exchange[pair] = r[0].re.x;
    exchange[pair + 16u] = r[0].im.x;
    let mirrored = Four(r[0].re.xwzy, r[0].im.xwzy);
    let y0 = sum(even_part(r[0], mirrored), odd_part(r[0], mirrored, vec2f(1.0, 0.0)));
    let x0 = products(y0, powers_of_8);
    put(frame, 8u, j, x0.re.y, x0.im.y);
    put(frame, 16u, j, x0.re.z, x0.im.z);
    put(frame, 24u, j, x0.re.w, x0.im.w);
    let e1 = even_part(r[1], reversed(r[7]));
    let o1 = odd_part(r[1], reversed(r[7]), STEP_1);
    put_rows(frame, 1u, j, sum(e1, o1), scaled(powers_of_8, w));
    let y7 = conjugate(reversed(difference(e1, o1)));
    put_rows(frame, 7u, j, y7, scaled(powers_of_8, product(w4, w3)));
    let e2 = even_part(r[2], reversed(r[6]));
    let o2 = odd_part(r[2], reversed(r[6]), STEP_2);
    put_rows(frame, 2u, j, sum(e2, o2), scaled(powers_of_8, w2));
    let y6 = conjugate(reversed(difference(e2, o2)));
    put_rows(frame, 6u, j, y6, scaled(powers_of_8, product(w3, w3)));
    let e3 = even_part(r[3], reversed(r[5]));
    let o3 = odd_part(r[3], reversed(r[5]), STEP_3);
    put_rows(frame, 3u, j, sum(e3, o3), scaled(powers_of_8, w3));
    let y5 = conjugate(reversed(difference(e3, o3)));
    put_rows(frame, 5u, j, y5, scaled(powers_of_8, product(w3, w2)));
    let y4 = sum(even_part(r[4], reversed(r[4])), odd_part(r[4], reversed(r[4]), STEP_4));
    put_rows(frame, 4u, j, y4, scaled(powers_of_8, w4));
    workgroupBarrier();

    let z = transformed(array(
        columns(frame, j, 0u),
        columns(frame, j, 1u),
        columns(frame, j, 2u),
        columns(frame, j, 3u),
        columns(frame, j, 4u),
        columns(frame, j, 5u),
        columns(frame, j, 6u),
        columns(frame, j, 7u),
    ));
    if index >= frames {
        return;
    }
    let first = j == 0u;
    let row = (group.y * frames + index) * BINS;
    // Lanes 0 and 1 rise with b from q and q + 512, lanes 2 and 3 fall from their mirror images; with
    // thread 0, all rise.
    let steps = select(vec4u(64u, 64u, 0u - 64u, 0u - 64u), vec4u(32u), first);
    let places = vec4u(j, 512u + j, 1024u - j, 512u - j);
    let at = row + select(places, vec4u(0u, 256u, 512u, 768u), first);
    put_powers(at, z[0], Four(z[0].re.xwzy, z[0].im.xwzy), vec2f(1.0, 0.0), first);
    put_powers(at + steps, z[1], reversed(z[7]), STEP_1, first);
    put_powers(at + 2u * steps, z[2], reversed(z[6]), STEP_2, first);
    put_powers(at + 3u * steps, z[3], reversed(z[5]), STEP_3, first);
    put_powers(at + 4u * steps, z[4], reversed(z[4]), STEP_4, first);
    put_powers(at + 5u * steps, z[5], reversed(z[3]), STEP_5, first);
    put_powers(at + 6u * steps, z[6], reversed(z[2]), STEP_6, first);
    put_powers(at + 7u * steps, z[7], reversed(z[1]), STEP_7, first);
    if first {
        let last = 2.0 * (z[0].re.x - z[0].im.x);
        power[row + 1024u] = last * last;
    }
}
