// A convolution along lines with "same" zero padding: of `depth` quads of channels into the quad of
// a workgroup, one of `quads`, beginning with b:
//     sum[p] = b + Σ_q,r,t weight[q, r, t] · element(q, line + r − above, p + t − before)
//
// A line is a row of positions along the kernel's longer axis. Each thread computes 16 positions of a
// line for 4 channels; its window of inputs slides over the line three taps at a time.
// Workgroups: x covers the tiles of 16 of all clips, y the quads of sums from params.first on.
//
// A kernel gives `weight`, `params`, first_sum(quad), which is b, and where sums go: aim(quad, place of the
// first sum, how many there are) is called, then store for each of 16, then finish. The pieces `tiles` and
// `lines` go with this one.

// A tap's weights; column c is for channel c of the quad that is read.
fn weights_of(tap: u32) -> mat4x4f {
    let at = 4u * tap;
    return mat4x4f(weight[at], weight[at + 1u], weight[at + 2u], weight[at + 3u]);
}

fn multiply_add(sum: vec4f, w: mat4x4f, x: vec4f) -> vec4f {
    return fma(w[3], x.wwww, fma(w[2], x.zzzz, fma(w[1], x.yyyy, fma(w[0], x.xxxx, sum))));
}

// `depth` quads are read, and `quads` written in all launches.
fn convolve(group: vec3u, lane: u32, depth: u32, quads: u32) {
    let tile = tile_of(group.x * LANES + lane);
    let clip = tile.clip;
    let line = tile.line;
    let first = tile.first;
    let plane = params.length * params.lines;
    let quad = params.first + group.y;
    let matrices = (depth * params.rows * 3u * params.groups + 3u) & ~3u;

    let b = first_sum(quad);
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;

    var part = 0u;
    loop {
        let q = part / params.rows;
        let r = part % params.rows;
        let source = put_on_line(source_of(q), clip, depth, q, line, r);
        var at = i32(first) - i32(params.before);
        var x0 = load(source, at);
        var x1 = load(source, at + 1);
        var x2 = load(source, at + 2);
        var x3 = load(source, at + 3);
        var x4 = load(source, at + 4);
        var x5 = load(source, at + 5);
        var x6 = load(source, at + 6);
        var x7 = load(source, at + 7);
        var x8 = load(source, at + 8);
        var x9 = load(source, at + 9);
        var x10 = load(source, at + 10);
        var x11 = load(source, at + 11);
        var x12 = load(source, at + 12);
        var x13 = load(source, at + 13);
        var x14 = load(source, at + 14);
        var tap = group.y * matrices + part * 3u * params.groups;
        var g = 0u;
        loop {
            let x15 = load(source, at + 15);
            let x16 = load(source, at + 16);
            let x17 = load(source, at + 17);
            var w = weights_of(tap);
            s0 = multiply_add(s0, w, x0);
            s1 = multiply_add(s1, w, x1);
            s2 = multiply_add(s2, w, x2);
            s3 = multiply_add(s3, w, x3);
            s4 = multiply_add(s4, w, x4);
            s5 = multiply_add(s5, w, x5);
            s6 = multiply_add(s6, w, x6);
            s7 = multiply_add(s7, w, x7);
            s8 = multiply_add(s8, w, x8);
            s9 = multiply_add(s9, w, x9);
            s10 = multiply_add(s10, w, x10);
            s11 = multiply_add(s11, w, x11);
            s12 = multiply_add(s12, w, x12);
            s13 = multiply_add(s13, w, x13);
            s14 = multiply_add(s14, w, x14);
            s15 = multiply_add(s15, w, x15);
            w = weights_of(tap + 1u);
            s0 = multiply_add(s0, w, x1);
            s1 = multiply_add(s1, w, x2);
            s2 = multiply_add(s2, w, x3);
            s3 = multiply_add(s3, w, x4);
            s4 = multiply_add(s4, w, x5);
            s5 = multiply_add(s5, w, x6);
            s6 = multiply_add(s6, w, x7);
            s7 = multiply_add(s7, w, x8);
            s8 = multiply_add(s8, w, x9);
            s9 = multiply_add(s9, w, x10);
            s10 = multiply_add(s10, w, x11);
            s11 = multiply_add(s11, w, x12);
            s12 = multiply_add(s12, w, x13);
            s13 = multiply_add(s13, w, x14);
            s14 = multiply_add(s14, w, x15);
            s15 = multiply_add(s15, w, x16);
            w = weights_of(tap + 2u);
            s0 = multiply_add(s0, w, x2);
            s1 = multiply_add(s1, w, x3);
            s2 = multiply_add(s2, w, x4);
            s3 = multiply_add(s3, w, x5);
            s4 = multiply_add(s4, w, x6);
            s5 = multiply_add(s5, w, x7);
            s6 = multiply_add(s6, w, x8);
            s7 = multiply_add(s7, w, x9);
            s8 = multiply_add(s8, w, x10);
            s9 = multiply_add(s9, w, x11);
            s10 = multiply_add(s10, w, x12);
            s11 = multiply_add(s11, w, x13);
            s12 = multiply_add(s12, w, x14);
            s13 = multiply_add(s13, w, x15);
            s14 = multiply_add(s14, w, x16);
            s15 = multiply_add(s15, w, x17);
            x0 = x3; x1 = x4; x2 = x5; x3 = x6; x4 = x7;
            x5 = x8; x6 = x9; x7 = x10; x8 = x11; x9 = x12;
            x10 = x13; x11 = x14; x12 = x15; x13 = x16; x14 = x17;
            at += 3;
            tap += 3u;
            continuing {
                g++;
                break if g >= params.groups;
            }
        }
        continuing {
            part++;
            break if part >= depth * params.rows;
        }
    }

    aim(
        quad,
        (clip * quads + quad) * plane + line * params.across + first * params.along,
        select(0u, min(TILE, params.length - first), tile.real),
    );
    store(0u, s0);
    store(1u, s1);
    store(2u, s2);
    store(3u, s3);
    store(4u, s4);
    store(5u, s5);
    store(6u, s6);
    store(7u, s7);
    store(8u, s8);
    store(9u, s9);
    store(10u, s10);
    store(11u, s11);
    store(12u, s12);
    store(13u, s13);
    store(14u, s14);
    store(15u, s15);
    finish(lane, group.x * quads + quad);
}
