// Power spectra of frames through a Hann window (short-time Fourier transform, padded with zeros: with
// n_fft/2 on either side, frames are centred):
//     x[i] = (½ − ½·cos(2πi/n_fft)) · samples[clip, frame·hop − padding + i]
//     X[k] = Σ_i x[i]·w^(ik),   w = e^(−2πi/n_fft)
//     power[clip, frame, k] = |X[k]|²,   k = 0 … n_fft/2
//
// The frame is packed as N = n_fft/2 complex numbers z[m] = x[2m] + i·x[2m + 1], eight of them for each of
// its threads, and kept in workgroup memory. Their transform Z is computed in place, decimating in frequency:
// a first pass of radix 2, 4 or 8 straight from the samples, passes of radix 8, and one of radix 4, with a
// barrier between them. Every butterfly leaves its outputs in bit-reversed order, so Z[k] ends at the bit
// reversal of k whatever the radices. The last pass keeps its outputs in registers and takes the frame's
// spectrum from them:
//     E[k] = (Z[k] + conj Z[N − k]) / 2,   O[k] = (Z[k] − conj Z[N − k]) / 2i
//     X[k] = E[k] + w^k·O[k],   conj X[N − k] = E[k] − w^k·O[k]
//
// The window's cosines are the real parts of the twiddles: a table less to read. Workgroups: x the frames of
// a clip, several together where they are short, y the clips. Loops test at their end, since software adapters
// go through a `for` once more with all threads masked.

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

// Packed numbers of a frame: n_fft/2.
override N = 1024u;
// The first pass' radix, which leaves 4 and powers of 8 for the others.
override FIRST = 4u;
override THREADS = 128u;
override THREADS_OF_FRAME = N / 8u;
override FRAMES = THREADS / THREADS_OF_FRAME;

// Powers 0 … 3 of e^(−2πi/8), and 0, 2, 1, 3 of e^(−2πi/16).
const EIGHTH = Four(
    vec4f(1.0, 0.70710678, 0.0, -0.70710678),
    vec4f(0.0, -0.70710678, -1.0, -0.70710678),
);
const SIXTEENTH = Four(
    vec4f(1.0, 0.70710678, 0.92387953, 0.38268343),
    vec4f(0.0, -0.70710678, -0.38268343, -0.92387953),
);

// The packed frames.
var<workgroup> z: array<vec2f, 8u * THREADS>;

// Where element p of z lies: neighbours and power-of-two strides alike meet all banks.
fn place(p: u32) -> u32 {
    return p ^ (((p >> 4u) ^ (p >> 8u)) & 15u);
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

// The transform of four numbers, times powers of w: outputs 0, 2, 1, 3.
fn turned(x: Four, w: vec2f) -> Four {
    let y = within(x);
    let w2 = product(w, w);
    let w3 = product(w2, w);
    return products(
        Four(y.re.xzyw, y.im.xzyw),
        Four(vec4f(1.0, w2.x, w.x, w3.x), vec4f(0.0, w2.y, w.y, w3.y)),
    );
}

// Numbers p + i·stride of the transform of eight, a those of i = 0 … 3 and b of i = 4 … 7, times powers of w.
fn store_eight(p: u32, stride: u32, a: Four, b: Four, w: vec2f) {
    let w2 = product(w, w);
    store_four(p, stride, turned(sum(a, b), w2));
    store_four(p + 4u * stride, stride, turned(products(difference(a, b), scaled(EIGHTH, w)), w2));
}

// x[2m] + i·x[2m + 1] of the frame whose first sample is at `start`, before the window.
fn packed(clip: u32, start: u32, m: u32) -> vec2f {
    return vec2f(sample(clip, start + 2u * m), sample(clip, start + 2u * m + 1u));
}

// Elements m + i·stride, i = 0 … 3, through the window, whose cosines are given for the real and the
// imaginary parts.
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

// From one element of a butterfly to the next the window's cosine turns by 1/FIRST of a circle.
fn first_pass(clip: u32, start: u32, frame: u32, thread: u32) {
    let stride = N / FIRST;
    var j = thread;
    loop {
        let even = twiddles[2u * j];
        let odd = twiddles[2u * j + 1u];
        let p = frame + j;
        switch FIRST {
            case 2u: {
                let cosines = vec2f(even.x, odd.x);
                let a = (0.5 - 0.5 * cosines) * packed(clip, start, j);
                let b = (0.5 + 0.5 * cosines) * packed(clip, start, j + stride);
                z[place(p)] = a + b;
                z[place(p + stride)] = product(a - b, even);
            }
            case 4u: {
                let cos_re = vec4f(even, -even);
                let cos_im = vec4f(odd, -odd);
                store_four(p, stride, turned(packed_four(clip, start, j, stride, cos_re, cos_im), even));
            }
            default: {
                let cos_re = scaled(EIGHTH, even).re;
                let cos_im = scaled(EIGHTH, odd).re;
                let a = packed_four(clip, start, j, stride, cos_re, cos_im);
                let b = packed_four(clip, start, j + 4u * stride, stride, -cos_re, -cos_im);
                store_eight(p, stride, a, b, even);
            }
        }
        continuing {
            j += THREADS_OF_FRAME;
            break if j >= stride;
        }
    }
}

// A pass of radix 8 over blocks of 8·stride, whose twiddles are w^(n_fft / block).
fn middle_pass(frame: u32, stride: u32, thread: u32) {
    let j = thread & (stride - 1u);
    let p = frame + 8u * (thread - j) + j;
    let w = twiddles[j * (N / (4u * stride))];
    store_eight(p, stride, load_four(p, stride), load_four(p + 4u * stride, stride), w);
}

fn squared(x: Four) -> vec4f {
    return x.re * x.re + x.im * x.im;
}

// Z[item + i·N/4], i = 0 … 3.
fn last_transform(frame: u32, item: u32) -> Four {
    let bits = firstTrailingBit(N) - 2u;
    return within(load_four(frame + 4u * (reverseBits(item) >> (32u - bits)), 1u));
}

fn chosen(no: Four, yes: Four, which: bool) -> Four {
    return Four(select(no.re, yes.re, which), select(no.im, yes.im, which));
}

// The last pass of radix 4, and the powers. Item k makes Z[k + i·N/4], and item N/4 − k their partners: a
// thread takes both, and the bins from the two. Items 0 and N/8 are their own partners; thread 0 takes them,
// and bin N/2 besides.
fn last_pass(row: u32, frame: u32, thread: u32) {
    let first = thread == 0u;
    let x = last_transform(frame, thread);
    let y = last_transform(frame, select(N / 4u - thread, N / 8u, first));
    // Z[k] and Z[N − k] of four bins k.
    let a = chosen(x, Four(vec4f(x.re.xy, y.re.xy), vec4f(x.im.xy, y.im.xy)), first);
    let b = chosen(
        Four(y.re.wzyx, y.im.wzyx), Four(vec4f(x.re.xw, y.re.wz), vec4f(x.im.xw, y.im.wz)), first,
    );
    let k = thread + select(vec4u(0u, 2u, 4u, 6u), vec4u(0u, 2u, 1u, 3u), first) * (N / 8u);
    let turns = chosen(scaled(EIGHTH, twiddles[thread]), SIXTEENTH, first);
    let even = Four(0.5 * (a.re + b.re), 0.5 * (a.im - b.im));
    let odd = products(Four(0.5 * (a.im + b.im), 0.5 * (b.re - a.re)), turns);
    let low = squared(sum(even, odd));
    let high = squared(difference(even, odd));
    power[row + k.x] = low.x;
    power[row + k.y] = low.y;
    power[row + k.z] = low.z;
    power[row + k.w] = low.w;
    power[row + N - k.x] = high.x;
    power[row + N - k.y] = high.y;
    power[row + N - k.z] = high.z;
    power[row + N - k.w] = high.w;
    if first {
        power[row + N / 2u] = squared(x).z;
    }
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let frames = 1u + (params.samples + 2u * params.padding - params.n_fft) / params.hop;
    let index = FRAMES * group.x + lane / THREADS_OF_FRAME;
    let thread = lane % THREADS_OF_FRAME;
    let frame = lane / THREADS_OF_FRAME * N;

    first_pass(group.y * params.samples, index * params.hop - params.padding, frame, thread);
    workgroupBarrier();
    var stride = N / FIRST / 8u;
    if stride > 0u {
        loop {
            middle_pass(frame, stride, thread);
            workgroupBarrier();
            stride /= 8u;
            if stride == 0u {
                break;
            }
        }
    }
    if index < frames {
        last_pass((group.y * frames + index) * (N + 1u), frame, thread);
    }
}
