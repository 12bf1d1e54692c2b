// Power spectra of frames through a Hann window (short-time Fourier transform, padded with zeros: with
// n_fft/2 on either side, frames are centred):
//     x[i] = (½ − ½·cos(2πi/n_fft)) · samples[clip, frame·hop − padding + i]
//     X[k] = Σ_i x[i]·w^(ik),   w = e^(−2πi/n_fft)
//     power[clip, frame, k] = |X[k]|²,   k = 0 … n_fft/2
// A workgroup owns a frame and keeps it in workgroup memory.
//
// The frame is packed as N = n_fft/2 complex numbers z[m] = x[2m] + i·x[2m + 1]. Their transform Z
// is computed in place, decimating in frequency: a first pass of radix 1, 2, 4 or 8 straight from
// the samples, then passes of radix 16, with a barrier between them. Every butterfly leaves its
// outputs in bit-reversed order, so Z[k] ends at the bit reversal of k whatever the radices. The
// last pass keeps its outputs in registers and takes the frame's spectrum from them:
//     E[k] = (Z[k] + conj Z[N − k]) / 2,   O[k] = (Z[k] − conj Z[N − k]) / 2i
//     X[k] = E[k] + w^k·O[k],   conj X[N − k] = E[k] − w^k·O[k]
//
// The window's cosines are the real parts of the twiddles: a table less to read.

struct Params {
    clips: u32,
    samples: u32,
    n_fft: u32,
    hop: u32,
    // Zeros before the first sample and behind the last.
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, samples]
@group(0) @binding(1) var<storage, read> samples: array<f32>;
// [n_fft / 2] of w^k = (cos, −sin)(2πk/n_fft)
@group(0) @binding(2) var<storage, read> twiddles: array<vec2f>;
// [clips, frames, n_fft / 2 + 1]
@group(0) @binding(3) var<storage, read_write> power: array<f32>;

const THREADS = 64u;
// Powers 0 … 3 of e^(−2πi/8), and of e^(−2πi/16) with exponents q·(0 … 3).
const EIGHTH = Four(
    vec4f(1.0, 0.70710678, 0.0, -0.70710678),
    vec4f(0.0, -0.70710678, -1.0, -0.70710678),
);
const SIXTEENTH = Four(
    vec4f(1.0, 0.92387953, 0.70710678, 0.38268343),
    vec4f(0.0, -0.38268343, -0.70710678, -0.92387953),
);
const SIXTEENTH_3 = Four(
    vec4f(1.0, 0.38268343, -0.70710678, -0.92387953),
    vec4f(0.0, -0.92387953, -0.70710678, 0.38268343),
);
// Powers 0 … 3 of e^(−2πi/32).
const THIRTY_SECOND = array(
    vec2f(1.0, 0.0),
    vec2f(0.98078528, -0.19509032),
    vec2f(0.92387953, -0.38268343),
    vec2f(0.83146961, -0.55557023),
);

// The packed frame; n_fft is at most 4096.
var<workgroup> z: array<vec2f, 2048>;

// Where element p of z lies: power-of-two strides meet all banks.
fn place(p: u32) -> u32 {
    return p ^ ((p >> 4u) & 15u);
}

fn load_four(p: u32, stride: u32) -> Four {
    let a = z[place(p)];
    let b = z[place(p + stride)];
    let c = z[place(p + 2u * stride)];
    let d = z[place(p + 3u * stride)];
    return Four(vec4f(a.x, b.x, c.x, d.x), vec4f(a.y, b.y, c.y, d.y));
}

fn store_four(p: u32, stride: u32, x: Four) {
    z[place(p)] = vec2f(x.re.x, x.im.x);
    z[place(p + stride)] = vec2f(x.re.y, x.im.y);
    z[place(p + 2u * stride)] = vec2f(x.re.z, x.im.z);
    z[place(p + 3u * stride)] = vec2f(x.re.w, x.im.w);
}

// The transform of four numbers: outputs 0, 2, 1, 3.
fn transformed(x: Four) -> Four {
    return ordered(within(x));
}

// Powers 0, 2, 1, 3 of a twiddle.
fn powers(w: vec2f) -> Four {
    let w2 = product(w, w);
    let w3 = product(w2, w);
    return Four(vec4f(1.0, w2.x, w.x, w3.x), vec4f(0.0, w2.y, w.y, w3.y));
}

// x[2m] + i·x[2m + 1] of the frame whose first sample is at `start`, before the window.
fn packed(clip: u32, start: u32, m: u32) -> vec2f {
    return vec2f(sample(clip, start + 2u * m), sample(clip, start + 2u * m + 1u));
}

// Elements m + i·stride, i = 0 … 3, through the window, whose cosines are given for the real and
// the imaginary parts.
fn packed_four(clip: u32, start: u32, m: u32, stride: u32, cos_re: vec4f, cos_im: vec4f) -> Four {
    let a = packed(clip, start, m);
    let b = packed(clip, start, m + stride);
    let c = packed(clip, start, m + 2u * stride);
    let d = packed(clip, start, m + 3u * stride);
    return Four(
        (0.5 - 0.5 * cos_re) * vec4f(a.x, b.x, c.x, d.x),
        (0.5 - 0.5 * cos_im) * vec4f(a.y, b.y, c.y, d.y),
    );
}

// The first pass: radix 1, 2, 4 or 8, whichever leaves a power of 16 for the others. From one
// element of a butterfly to the next the window's cosine turns by 1/radix of a circle.
fn first_pass(clip: u32, start: u32, n: u32, log_radix: u32, thread: u32) {
    let stride = n >> log_radix;
    var j = thread;
    if j < stride {
        loop {
            // Half a circle on, the cosine is the negative.
            let wrap = 2u * j >= n;
            let even = twiddles[select(2u * j, 2u * j - n, wrap)];
            let odd = twiddles[select(2u * j, 2u * j - n, wrap) + 1u];
            let cosines = vec2f(even.x, odd.x);
            switch log_radix {
                case 0u: {
                    let window = 0.5 - 0.5 * select(cosines, -cosines, wrap);
                    z[place(j)] = window * packed(clip, start, j);
                }
                case 1u: {
                    let a = (0.5 - 0.5 * cosines) * packed(clip, start, j);
                    let b = (0.5 + 0.5 * cosines) * packed(clip, start, j + stride);
                    z[place(j)] = a + b;
                    z[place(j + stride)] = product(a - b, even);
                }
                case 2u: {
                    let cos_re = vec4f(even, -even);
                    let cos_im = vec4f(odd, -odd);
                    let x = packed_four(clip, start, j, stride, cos_re, cos_im);
                    store_four(j, stride, products(transformed(x), powers(even)));
                }
                default: {
                    let turned = scaled(EIGHTH, even);
                    let cos_re = turned.re;
                    let cos_im = scaled(EIGHTH, odd).re;
                    let a = packed_four(clip, start, j, stride, cos_re, cos_im);
                    let b = packed_four(clip, start, j + 4u * stride, stride, -cos_re, -cos_im);
                    let w = powers(product(even, even));
                    store_four(j, stride, products(transformed(sum(a, b)), w));
                    let upper = products(difference(a, b), turned);
                    store_four(j + 4u * stride, stride, products(transformed(upper), w));
                }
            }
            continuing {
                j += THREADS;
                break if j >= stride;
            }
        }
    }
}

// The transform of z[p + m·stride], m = 0 … 15, as two of radix 4: output a + 4b is in row a, where
// the lanes are b = 0, 2, 1, 3.
fn transformed_16(p: u32, stride: u32) -> array<Four, 4> {
    let a = load_four(p, stride);
    let b = load_four(p + 4u * stride, stride);
    let c = load_four(p + 8u * stride, stride);
    let d = load_four(p + 12u * stride, stride);
    let ac = sum(a, c);
    let bd = sum(b, d);
    let a_c = difference(a, c);
    let b_d = difference(b, d);
    return array(
        transformed(sum(ac, bd)),
        transformed(products(Four(a_c.re + b_d.im, a_c.im - b_d.re), SIXTEENTH)),
        transformed(products(difference(ac, bd), EIGHTH)),
        transformed(products(Four(a_c.re - b_d.im, a_c.im + b_d.re), SIXTEENTH_3)),
    );
}

// A pass of radix 16 over blocks of 16·stride.
fn middle_pass(n: u32, stride: u32, thread: u32) {
    // Twiddles of a block: w^(n_fft / block).
    let step = n / (8u * stride);
    var item = thread;
    if item < n / 16u {
        loop {
            let j = item & (stride - 1u);
            let p = 16u * (item - j) + j;
            let y = transformed_16(p, stride);
            let w = powers(twiddles[j * step]);
            let v = powers(twiddles[4u * j * step]);
            store_four(p, stride, products(y[0], v));
            store_four(p + 4u * stride, stride, products(y[2], scaled(v, vec2f(w.re.y, w.im.y))));
            store_four(p + 8u * stride, stride, products(y[1], scaled(v, vec2f(w.re.z, w.im.z))));
            store_four(p + 12u * stride, stride, products(y[3], scaled(v, vec2f(w.re.w, w.im.w))));
            continuing {
                item += THREADS;
                break if item >= n / 16u;
            }
        }
    }
}

// Four outputs with lanes put from 0, 2, 1, 3 into order, or back.
fn ordered(x: Four) -> Four {
    return Four(x.re.xzyw, x.im.xzyw);
}

// The same in reverse.
fn reversed(x: Four) -> Four {
    return Four(x.re.wyzx, x.im.wyzx);
}

fn chosen(no: Four, yes: Four, which: bool) -> Four {
    return Four(select(no.re, yes.re, which), select(no.im, yes.im, which));
}

// Powers of the bins k + i·stride and N − k − i·stride, i = 0 … 3, of the spectrum that starts at
// `row`, from a = Z[k + i·stride] and b = Z[N − k − i·stride]; w are their twiddles.
fn put_powers(row: u32, n: u32, k: u32, stride: u32, a: Four, b: Four, w: Four) {
    let even = Four(0.5 * (a.re + b.re), 0.5 * (a.im - b.im));
    let odd = products(Four(0.5 * (a.im + b.im), 0.5 * (b.re - a.re)), w);
    let x = sum(even, odd);
    let y = difference(even, odd);
    let low = x.re * x.re + x.im * x.im;
    let high = y.re * y.re + y.im * y.im;
    power[row + k] = low.x;
    power[row + k + stride] = low.y;
    power[row + k + 2u * stride] = low.z;
    power[row + k + 3u * stride] = low.w;
    power[row + n - k] = high.x;
    power[row + n - k - stride] = high.y;
    power[row + n - k - 2u * stride] = high.z;
    power[row + n - k - 3u * stride] = high.w;
}

// The last pass of radix 16, and the powers. With R = N/16, item r makes Z[r + R·q], q = 0 … 15,
// and item R − r their partners: a thread takes both. Items 0 and R/2 are their own partners;
// thread 0 takes them.
fn last_pass(row: u32, n: u32, bits: u32, thread: u32) {
    let items = n / 16u;
    if thread >= items / 2u {
        return;
    }
    let first = thread == 0u;
    let shift = 36u - bits;
    let a = transformed_16(16u * (reverseBits(thread) >> shift), 1u);
    let partner = select(items - thread, items / 2u, first);
    let b = transformed_16(16u * (reverseBits(partner) >> shift), 1u);

    // w^(r + R·q) = w^r · e^(−2πi·(q mod 4)/32) · e^(−2πi·⌊q/4⌋/8)
    let w = twiddles[thread];
    let w0 = scaled(EIGHTH, w);
    let w1 = scaled(EIGHTH, product(w, THIRTY_SECOND[1]));
    let w2 = scaled(EIGHTH, product(w, THIRTY_SECOND[2]));
    let w3 = scaled(EIGHTH, product(w, THIRTY_SECOND[3]));
    let stride = 4u * items;
    let k = thread;
    // Item 0 pairs q with 16 − q, all others q with 15 − q of the partner.
    let own = Four(a[0].re.xwyz, a[0].im.xwyz);
    put_powers(row, n, k, stride, ordered(a[0]), chosen(reversed(b[3]), own, first), w0);
    put_powers(
        row, n, k + items, stride,
        ordered(a[1]), chosen(reversed(b[2]), reversed(a[3]), first), w1,
    );
    put_powers(
        row, n, k + 2u * items, stride,
        ordered(a[2]), chosen(reversed(b[1]), reversed(a[2]), first), w2,
    );
    put_powers(
        row, n, k + 3u * items, stride,
        ordered(a[3]), chosen(reversed(b[0]), reversed(a[1]), first), w3,
    );
    if first {
        let half = twiddles[partner];
        let v0 = scaled(EIGHTH, half);
        let v1 = scaled(EIGHTH, product(half, THIRTY_SECOND[1]));
        put_powers(row, n, partner, stride, ordered(b[0]), reversed(b[3]), v0);
        put_powers(row, n, partner + items, stride, ordered(b[1]), reversed(b[2]), v1);
    }
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) thread: u32,
) {
    let frames = 1u + (params.samples + 2u * params.padding - params.n_fft) / params.hop;
    let n = params.n_fft / 2u;
    let bits = firstTrailingBit(n);

    first_pass(group.y * params.samples, group.x * params.hop - params.padding, n, bits & 3u, thread);
    workgroupBarrier();
    for (var stride = (n >> (bits & 3u)) / 16u; stride > 1u; stride /= 16u) {
        middle_pass(n, stride, thread);
        workgroupBarrier();
    }
    last_pass((group.y * frames + group.x) * (n + 1u), n, bits, thread);
}
