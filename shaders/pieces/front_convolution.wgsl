// A convolution of the one channel of spectrograms, "same" over time and "valid" over frequency: of a
// workgroup's quad of channels, beginning with b,
//     sum[p] = b + Σ_r,t weight[r, t] · x[line + r − above, p + t − before]
//
// A line is a row of positions along the kernel's longer axis: over frequency where it is VERTICAL,
// else over time. A thread computes 16 positions of a line for 4 channels; its window of inputs
// slides over the line eight taps at a time. Sums are not kept in registers by a software adapter; with
// the taps innermost it loads and stores each once for eight of them.
//
// A kernel gives `params`, and take(i, sum), which is called for each of the 16. The pieces `front_input`
// and `front_taps_read` or `front_taps_handed_round` go with this one.

const TILE = 16u;
const LANES = 64u;
// Lanes that share a tile, where they lie side by side over frequency.
const BANDS = 32u;

override VERTICAL = true;

// Where a thread is.
struct Place {
    clip: u32,
    // A line of the output, before the first turn.
    line: u32,
    // The first position of its tile, before the first turn.
    first: u32,
    // Lanes past the end repeat an item, and nothing of them counts.
    real: bool,
}

// Of eight taps.
fn groups() -> u32 {
    return (params.taps + 7u) / 8u;
}

fn tiles() -> u32 {
    return (params.out_length + TILE - 1u) / TILE;
}

// Vertical: a lane has a step of a clip and walks over the tiles of its line. Else a tile of a clip
// belongs to 32 lanes, which walk over the lines.
fn place_of(group: u32, lane: u32) -> Place {
    if VERTICAL {
        let item = min(group * LANES + lane, params.clips * params.out_lines - 1u);
        let real = item == group * LANES + lane;
        return Place(item / params.out_lines, item % params.out_lines, 0u, real);
    }
    let wanted = group * (LANES / BANDS) + lane / BANDS;
    let item = min(wanted, params.clips * tiles() - 1u);
    return Place(item / tiles(), lane % BANDS, item % tiles() * TILE, item == wanted);
}

fn turns() -> u32 {
    return select((params.out_lines + BANDS - 1u) / BANDS, tiles(), VERTICAL);
}

// The place in a turn: what counts lies on the plane.
fn turned(place: Place, turn: u32) -> Place {
    if VERTICAL {
        return Place(place.clip, place.line, turn * TILE, place.real);
    }
    let line = place.line + turn * BANDS;
    let inside = line < params.out_lines;
    return Place(place.clip, select(0u, line, inside), place.first, place.real && inside);
}

// Adds what eight positions give to a channel.
fn multiply_add(
    sum: f32, w: mat2x4f,
    x0: f32, x1: f32, x2: f32, x3: f32, x4: f32, x5: f32, x6: f32, x7: f32,
) -> f32 {
    let half = fma(w[0].w, x3, fma(w[0].z, x2, fma(w[0].y, x1, fma(w[0].x, x0, sum))));
    return fma(w[1].w, x7, fma(w[1].z, x6, fma(w[1].y, x5, fma(w[1].x, x4, half))));
}

// `weights` is where the quad's weights begin.
fn convolve(place: Place, weights: u32, b: vec4f) {
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;
    let reader = reader_of_front_taps();
    var r = 0u;
    loop {
        let source = line_of(place.clip, place.line, r);
        var at = i32(place.first) - i32(params.before);
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
        var tap = weights + r * 8u * groups();
        var g = 0u;
        loop {
            let x15 = load(source, at + 15);
            let x16 = load(source, at + 16);
            let x17 = load(source, at + 17);
            let x18 = load(source, at + 18);
            let x19 = load(source, at + 19);
            let x20 = load(source, at + 20);
            let x21 = load(source, at + 21);
            let x22 = load(source, at + 22);
            let taps = front_taps_at(reader, tap);
            let wx = front_taps_into(taps, 0u);
            s0.x = multiply_add(s0.x, wx, x0, x1, x2, x3, x4, x5, x6, x7);
            s1.x = multiply_add(s1.x, wx, x1, x2, x3, x4, x5, x6, x7, x8);
            s2.x = multiply_add(s2.x, wx, x2, x3, x4, x5, x6, x7, x8, x9);
            s3.x = multiply_add(s3.x, wx, x3, x4, x5, x6, x7, x8, x9, x10);
            s4.x = multiply_add(s4.x, wx, x4, x5, x6, x7, x8, x9, x10, x11);
            s5.x = multiply_add(s5.x, wx, x5, x6, x7, x8, x9, x10, x11, x12);
            s6.x = multiply_add(s6.x, wx, x6, x7, x8, x9, x10, x11, x12, x13);
            s7.x = multiply_add(s7.x, wx, x7, x8, x9, x10, x11, x12, x13, x14);
            s8.x = multiply_add(s8.x, wx, x8, x9, x10, x11, x12, x13, x14, x15);
            s9.x = multiply_add(s9.x, wx, x9, x10, x11, x12, x13, x14, x15, x16);
            s10.x = multiply_add(s10.x, wx, x10, x11, x12, x13, x14, x15, x16, x17);
            s11.x = multiply_add(s11.x, wx, x11, x12, x13, x14, x15, x16, x17, x18);
            s12.x = multiply_add(s12.x, wx, x12, x13, x14, x15, x16, x17, x18, x19);
            s13.x = multiply_add(s13.x, wx, x13, x14, x15, x16, x17, x18, x19, x20);
            s14.x = multiply_add(s14.x, wx, x14, x15, x16, x17, x18, x19, x20, x21);
            s15.x = multiply_add(s15.x, wx, x15, x16, x17, x18, x19, x20, x21, x22);
            let wy = front_taps_into(taps, 1u);
            s0.y = multiply_add(s0.y, wy, x0, x1, x2, x3, x4, x5, x6, x7);
            s1.y = multiply_add(s1.y, wy, x1, x2, x3, x4, x5, x6, x7, x8);
            s2.y = multiply_add(s2.y, wy, x2, x3, x4, x5, x6, x7, x8, x9);
            s3.y = multiply_add(s3.y, wy, x3, x4, x5, x6, x7, x8, x9, x10);
            s4.y = multiply_add(s4.y, wy, x4, x5, x6, x7, x8, x9, x10, x11);
            s5.y = multiply_add(s5.y, wy, x5, x6, x7, x8, x9, x10, x11, x12);
            s6.y = multiply_add(s6.y, wy, x6, x7, x8, x9, x10, x11, x12, x13);
            s7.y = multiply_add(s7.y, wy, x7, x8, x9, x10, x11, x12, x13, x14);
            s8.y = multiply_add(s8.y, wy, x8, x9, x10, x11, x12, x13, x14, x15);
            s9.y = multiply_add(s9.y, wy, x9, x10, x11, x12, x13, x14, x15, x16);
            s10.y = multiply_add(s10.y, wy, x10, x11, x12, x13, x14, x15, x16, x17);
            s11.y = multiply_add(s11.y, wy, x11, x12, x13, x14, x15, x16, x17, x18);
            s12.y = multiply_add(s12.y, wy, x12, x13, x14, x15, x16, x17, x18, x19);
            s13.y = multiply_add(s13.y, wy, x13, x14, x15, x16, x17, x18, x19, x20);
            s14.y = multiply_add(s14.y, wy, x14, x15, x16, x17, x18, x19, x20, x21);
            s15.y = multiply_add(s15.y, wy, x15, x16, x17, x18, x19, x20, x21, x22);
            let wz = front_taps_into(taps, 2u);
            s0.z = multiply_add(s0.z, wz, x0, x1, x2, x3, x4, x5, x6, x7);
            s1.z = multiply_add(s1.z, wz, x1, x2, x3, x4, x5, x6, x7, x8);
            s2.z = multiply_add(s2.z, wz, x2, x3, x4, x5, x6, x7, x8, x9);
            s3.z = multiply_add(s3.z, wz, x3, x4, x5, x6, x7, x8, x9, x10);
            s4.z = multiply_add(s4.z, wz, x4, x5, x6, x7, x8, x9, x10, x11);
            s5.z = multiply_add(s5.z, wz, x5, x6, x7, x8, x9, x10, x11, x12);
            s6.z = multiply_add(s6.z, wz, x6, x7, x8, x9, x10, x11, x12, x13);
            s7.z = multiply_add(s7.z, wz, x7, x8, x9, x10, x11, x12, x13, x14);
            s8.z = multiply_add(s8.z, wz, x8, x9, x10, x11, x12, x13, x14, x15);
            s9.z = multiply_add(s9.z, wz, x9, x10, x11, x12, x13, x14, x15, x16);
            s10.z = multiply_add(s10.z, wz, x10, x11, x12, x13, x14, x15, x16, x17);
            s11.z = multiply_add(s11.z, wz, x11, x12, x13, x14, x15, x16, x17, x18);
            s12.z = multiply_add(s12.z, wz, x12, x13, x14, x15, x16, x17, x18, x19);
            s13.z = multiply_add(s13.z, wz, x13, x14, x15, x16, x17, x18, x19, x20);
            s14.z = multiply_add(s14.z, wz, x14, x15, x16, x17, x18, x19, x20, x21);
            s15.z = multiply_add(s15.z, wz, x15, x16, x17, x18, x19, x20, x21, x22);
            let ww = front_taps_into(taps, 3u);
            s0.w = multiply_add(s0.w, ww, x0, x1, x2, x3, x4, x5, x6, x7);
            s1.w = multiply_add(s1.w, ww, x1, x2, x3, x4, x5, x6, x7, x8);
            s2.w = multiply_add(s2.w, ww, x2, x3, x4, x5, x6, x7, x8, x9);
            s3.w = multiply_add(s3.w, ww, x3, x4, x5, x6, x7, x8, x9, x10);
            s4.w = multiply_add(s4.w, ww, x4, x5, x6, x7, x8, x9, x10, x11);
            s5.w = multiply_add(s5.w, ww, x5, x6, x7, x8, x9, x10, x11, x12);
            s6.w = multiply_add(s6.w, ww, x6, x7, x8, x9, x10, x11, x12, x13);
            s7.w = multiply_add(s7.w, ww, x7, x8, x9, x10, x11, x12, x13, x14);
            s8.w = multiply_add(s8.w, ww, x8, x9, x10, x11, x12, x13, x14, x15);
            s9.w = multiply_add(s9.w, ww, x9, x10, x11, x12, x13, x14, x15, x16);
            s10.w = multiply_add(s10.w, ww, x10, x11, x12, x13, x14, x15, x16, x17);
            s11.w = multiply_add(s11.w, ww, x11, x12, x13, x14, x15, x16, x17, x18);
            s12.w = multiply_add(s12.w, ww, x12, x13, x14, x15, x16, x17, x18, x19);
            s13.w = multiply_add(s13.w, ww, x13, x14, x15, x16, x17, x18, x19, x20);
            s14.w = multiply_add(s14.w, ww, x14, x15, x16, x17, x18, x19, x20, x21);
            s15.w = multiply_add(s15.w, ww, x15, x16, x17, x18, x19, x20, x21, x22);
            x0 = x8; x1 = x9; x2 = x10; x3 = x11; x4 = x12;
            x5 = x13; x6 = x14; x7 = x15; x8 = x16; x9 = x17;
            x10 = x18; x11 = x19; x12 = x20; x13 = x21; x14 = x22;
            at += 8;
            tap += 8u;
            continuing {
                g++;
                break if g >= groups();
            }
        }
        continuing {
            r++;
            break if r >= params.rows;
        }
    }
    take(0u, s0);
    take(1u, s1);
    take(2u, s2);
    take(3u, s3);
    take(4u, s4);
    take(5u, s5);
    take(6u, s6);
    take(7u, s7);
    take(8u, s8);
    take(9u, s9);
    take(10u, s10);
    take(11u, s11);
    take(12u, s12);
    take(13u, s13);
    take(14u, s14);
    take(15u, s15);
}
