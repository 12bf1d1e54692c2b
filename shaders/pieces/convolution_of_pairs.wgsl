// The convolution of the piece `convolution`, for a software adapter. There, a load of the input bounds
// all, so that threads compute 16 positions of a line for 8 channels: it serves twice as many multiply-adds.
// Sums are in memory, so that one channel comes after the other: each sum is loaded and stored once for
// twelve multiply-adds. And of every four threads of a subgroup, each reads the weights from one input
// channel. A GPU would run out of registers.
//
// Workgroups: x covers the tiles of 16 of all clips, y the pairs of quads from params.first on. A kernel
// gives what it gives there. The pieces `tiles`, `lines` and `four_lanes` go with this one.

// What a thread reads of three taps.
struct Taps {
    t0: vec4f,
    t1: vec4f,
    t2: vec4f,
}

// The input channel that this thread reads.
fn reader_of_taps() -> u32 {
    return lane_of_four();
}

fn taps_at(reader: u32, tap: u32) -> Taps {
    let at = 4u * tap + reader;
    return Taps(weight[at], weight[at + 4u], weight[at + 8u]);
}

fn taps_into(taps: Taps, c: u32) -> mat3x4f {
    return mat3x4f(of_four_lanes(taps.t0[c]), of_four_lanes(taps.t1[c]), of_four_lanes(taps.t2[c]));
}

// Adds what three positions give to a channel.
fn multiply_add(sum: f32, w: mat3x4f, x0: vec4f, x1: vec4f, x2: vec4f) -> f32 {
    let s0 = fma(w[0].w, x0.w, fma(w[0].z, x0.z, fma(w[0].y, x0.y, fma(w[0].x, x0.x, sum))));
    let s1 = fma(w[1].w, x1.w, fma(w[1].z, x1.z, fma(w[1].y, x1.y, fma(w[1].x, x1.x, s0))));
    return fma(w[2].w, x2.w, fma(w[2].z, x2.z, fma(w[2].y, x2.y, fma(w[2].x, x2.x, s1))));
}

// `depth` quads are read, and `quads` written in all launches.
fn convolve(group: vec3u, lane: u32, depth: u32, quads: u32) {
    let tile = tile_of(group.x * LANES + lane);
    let clip = tile.clip;
    let line = tile.line;
    let first = tile.first;
    let plane = params.length * params.lines;
    let quad = params.first + 2u * group.y;
    // The last pair may have one quad only: then it is computed twice, and kept once.
    let paired = 2u * group.y + 1u < params.count;
    let matrices = (depth * params.rows * 3u * params.groups + 3u) & ~3u;

    let b = first_sum(quad);
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;
    let c = first_sum(quad + 1u);
    var u0 = c; var u1 = c; var u2 = c; var u3 = c;
    var u4 = c; var u5 = c; var u6 = c; var u7 = c;
    var u8 = c; var u9 = c; var u10 = c; var u11 = c;
    var u12 = c; var u13 = c; var u14 = c; var u15 = c;

    let other = select(0u, matrices, paired);
    let reader = reader_of_taps();
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
        var tap = 2u * group.y * matrices + part * 3u * params.groups;
        var g = 0u;
        loop {
            let x15 = load(source, at + 15);
            let x16 = load(source, at + 16);
            let x17 = load(source, at + 17);
            let taps = taps_at(reader, tap);
            let wx = taps_into(taps, 0u);
            s0.x = multiply_add(s0.x, wx, x0, x1, x2);
            s1.x = multiply_add(s1.x, wx, x1, x2, x3);
            s2.x = multiply_add(s2.x, wx, x2, x3, x4);
            s3.x = multiply_add(s3.x, wx, x3, x4, x5);
            s4.x = multiply_add(s4.x, wx, x4, x5, x6);
            s5.x = multiply_add(s5.x, wx, x5, x6, x7);
            s6.x = multiply_add(s6.x, wx, x6, x7, x8);
            s7.x = multiply_add(s7.x, wx, x7, x8, x9);
            s8.x = multiply_add(s8.x, wx, x8, x9, x10);
            s9.x = multiply_add(s9.x, wx, x9, x10, x11);
            s10.x = multiply_add(s10.x, wx, x10, x11, x12);
            s11.x = multiply_add(s11.x, wx, x11, x12, x13);
            s12.x = multiply_add(s12.x, wx, x12, x13, x14);
            s13.x = multiply_add(s13.x, wx, x13, x14, x15);
            s14.x = multiply_add(s14.x, wx, x14, x15, x16);
            s15.x = multiply_add(s15.x, wx, x15, x16, x17);
            let wy = taps_into(taps, 1u);
            s0.y = multiply_add(s0.y, wy, x0, x1, x2);
            s1.y = multiply_add(s1.y, wy, x1, x2, x3);
            s2.y = multiply_add(s2.y, wy, x2, x3, x4);
            s3.y = multiply_add(s3.y, wy, x3, x4, x5);
            s4.y = multiply_add(s4.y, wy, x4, x5, x6);
            s5.y = multiply_add(s5.y, wy, x5, x6, x7);
            s6.y = multiply_add(s6.y, wy, x6, x7, x8);
            s7.y = multiply_add(s7.y, wy, x7, x8, x9);
            s8.y = multiply_add(s8.y, wy, x8, x9, x10);
            s9.y = multiply_add(s9.y, wy, x9, x10, x11);
            s10.y = multiply_add(s10.y, wy, x10, x11, x12);
            s11.y = multiply_add(s11.y, wy, x11, x12, x13);
            s12.y = multiply_add(s12.y, wy, x12, x13, x14);
            s13.y = multiply_add(s13.y, wy, x13, x14, x15);
            s14.y = multiply_add(s14.y, wy, x14, x15, x16);
            s15.y = multiply_add(s15.y, wy, x15, x16, x17);
            let wz = taps_into(taps, 2u);
            s0.z = multiply_add(s0.z, wz, x0, x1, x2);
            s1.z = multiply_add(s1.z, wz, x1, x2, x3);
            s2.z = multiply_add(s2.z, wz, x2, x3, x4);
            s3.z = multiply_add(s3.z, wz, x3, x4, x5);
            s4.z = multiply_add(s4.z, wz, x4, x5, x6);
            s5.z = multiply_add(s5.z, wz, x5, x6, x7);
            s6.z = multiply_add(s6.z, wz, x6, x7, x8);
            s7.z = multiply_add(s7.z, wz, x7, x8, x9);
            s8.z = multiply_add(s8.z, wz, x8, x9, x10);
            s9.z = multiply_add(s9.z, wz, x9, x10, x11);
            s10.z = multiply_add(s10.z, wz, x10, x11, x12);
            s11.z = multiply_add(s11.z, wz, x11, x12, x13);
            s12.z = multiply_add(s12.z, wz, x12, x13, x14);
            s13.z = multiply_add(s13.z, wz, x13, x14, x15);
            s14.z = multiply_add(s14.z, wz, x14, x15, x16);
            s15.z = multiply_add(s15.z, wz, x15, x16, x17);
            let ww = taps_into(taps, 3u);
            s0.w = multiply_add(s0.w, ww, x0, x1, x2);
            s1.w = multiply_add(s1.w, ww, x1, x2, x3);
            s2.w = multiply_add(s2.w, ww, x2, x3, x4);
            s3.w = multiply_add(s3.w, ww, x3, x4, x5);
            s4.w = multiply_add(s4.w, ww, x4, x5, x6);
            s5.w = multiply_add(s5.w, ww, x5, x6, x7);
            s6.w = multiply_add(s6.w, ww, x6, x7, x8);
            s7.w = multiply_add(s7.w, ww, x7, x8, x9);
            s8.w = multiply_add(s8.w, ww, x8, x9, x10);
            s9.w = multiply_add(s9.w, ww, x9, x10, x11);
            s10.w = multiply_add(s10.w, ww, x10, x11, x12);
            s11.w = multiply_add(s11.w, ww, x11, x12, x13);
            s12.w = multiply_add(s12.w, ww, x12, x13, x14);
            s13.w = multiply_add(s13.w, ww, x13, x14, x15);
            s14.w = multiply_add(s14.w, ww, x14, x15, x16);
            s15.w = multiply_add(s15.w, ww, x15, x16, x17);
            let more = taps_at(reader, tap + other);
            let vx = taps_into(more, 0u);
            u0.x = multiply_add(u0.x, vx, x0, x1, x2);
            u1.x = multiply_add(u1.x, vx, x1, x2, x3);
            u2.x = multiply_add(u2.x, vx, x2, x3, x4);
            u3.x = multiply_add(u3.x, vx, x3, x4, x5);
            u4.x = multiply_add(u4.x, vx, x4, x5, x6);
            u5.x = multiply_add(u5.x, vx, x5, x6, x7);
            u6.x = multiply_add(u6.x, vx, x6, x7, x8);
            u7.x = multiply_add(u7.x, vx, x7, x8, x9);
            u8.x = multiply_add(u8.x, vx, x8, x9, x10);
            u9.x = multiply_add(u9.x, vx, x9, x10, x11);
            u10.x = multiply_add(u10.x, vx, x10, x11, x12);
            u11.x = multiply_add(u11.x, vx, x11, x12, x13);
            u12.x = multiply_add(u12.x, vx, x12, x13, x14);
            u13.x = multiply_add(u13.x, vx, x13, x14, x15);
            u14.x = multiply_add(u14.x, vx, x14, x15, x16);
            u15.x = multiply_add(u15.x, vx, x15, x16, x17);
            let vy = taps_into(more, 1u);
            u0.y = multiply_add(u0.y, vy, x0, x1, x2);
            u1.y = multiply_add(u1.y, vy, x1, x2, x3);
            u2.y = multiply_add(u2.y, vy, x2, x3, x4);
            u3.y = multiply_add(u3.y, vy, x3, x4, x5);
            u4.y = multiply_add(u4.y, vy, x4, x5, x6);
            u5.y = multiply_add(u5.y, vy, x5, x6, x7);
            u6.y = multiply_add(u6.y, vy, x6, x7, x8);
            u7.y = multiply_add(u7.y, vy, x7, x8, x9);
            u8.y = multiply_add(u8.y, vy, x8, x9, x10);
            u9.y = multiply_add(u9.y, vy, x9, x10, x11);
            u10.y = multiply_add(u10.y, vy, x10, x11, x12);
            u11.y = multiply_add(u11.y, vy, x11, x12, x13);
            u12.y = multiply_add(u12.y, vy, x12, x13, x14);
            u13.y = multiply_add(u13.y, vy, x13, x14, x15);
            u14.y = multiply_add(u14.y, vy, x14, x15, x16);
            u15.y = multiply_add(u15.y, vy, x15, x16, x17);
            let vz = taps_into(more, 2u);
            u0.z = multiply_add(u0.z, vz, x0, x1, x2);
            u1.z = multiply_add(u1.z, vz, x1, x2, x3);
            u2.z = multiply_add(u2.z, vz, x2, x3, x4);
            u3.z = multiply_add(u3.z, vz, x3, x4, x5);
            u4.z = multiply_add(u4.z, vz, x4, x5, x6);
            u5.z = multiply_add(u5.z, vz, x5, x6, x7);
            u6.z = multiply_add(u6.z, vz, x6, x7, x8);
            u7.z = multiply_add(u7.z, vz, x7, x8, x9);
            u8.z = multiply_add(u8.z, vz, x8, x9, x10);
            u9.z = multiply_add(u9.z, vz, x9, x10, x11);
            u10.z = multiply_add(u10.z, vz, x10, x11, x12);
            u11.z = multiply_add(u11.z, vz, x11, x12, x13);
            u12.z = multiply_add(u12.z, vz, x12, x13, x14);
            u13.z = multiply_add(u13.z, vz, x13, x14, x15);
            u14.z = multiply_add(u14.z, vz, x14, x15, x16);
            u15.z = multiply_add(u15.z, vz, x15, x16, x17);
            let vw = taps_into(more, 3u);
            u0.w = multiply_add(u0.w, vw, x0, x1, x2);
            u1.w = multiply_add(u1.w, vw, x1, x2, x3);
            u2.w = multiply_add(u2.w, vw, x2, x3, x4);
            u3.w = multiply_add(u3.w, vw, x3, x4, x5);
            u4.w = multiply_add(u4.w, vw, x4, x5, x6);
            u5.w = multiply_add(u5.w, vw, x5, x6, x7);
            u6.w = multiply_add(u6.w, vw, x6, x7, x8);
            u7.w = multiply_add(u7.w, vw, x7, x8, x9);
            u8.w = multiply_add(u8.w, vw, x8, x9, x10);
            u9.w = multiply_add(u9.w, vw, x9, x10, x11);
            u10.w = multiply_add(u10.w, vw, x10, x11, x12);
            u11.w = multiply_add(u11.w, vw, x11, x12, x13);
            u12.w = multiply_add(u12.w, vw, x12, x13, x14);
            u13.w = multiply_add(u13.w, vw, x13, x14, x15);
            u14.w = multiply_add(u14.w, vw, x14, x15, x16);
            u15.w = multiply_add(u15.w, vw, x15, x16, x17);
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

    let place = line * params.across + first * params.along;
    let count = select(0u, min(TILE, params.length - first), tile.real);
    aim(quad, (clip * quads + quad) * plane + place, count);
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
    if paired {
        // What the first quad's sums were added up in is free again.
        workgroupBarrier();
        aim(quad + 1u, (clip * quads + quad + 1u) * plane + place, count);
        store(0u, u0);
        store(1u, u1);
        store(2u, u2);
        store(3u, u3);
        store(4u, u4);
        store(5u, u5);
        store(6u, u6);
        store(7u, u7);
        store(8u, u8);
        store(9u, u9);
        store(10u, u10);
        store(11u, u11);
        store(12u, u12);
        store(13u, u13);
        store(14u, u14);
        store(15u, u15);
        finish(lane, group.x * quads + quad + 1u);
    }
}
