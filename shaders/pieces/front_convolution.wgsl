// A convolution of the one channel of spectrograms, "same" over time and "valid" over frequency: of a
// workgroup's quad of channels, beginning with b,
//     sum[p] = b + Σ_r,t weight[r, t] · x[line + r − above, p + t − before]
//
// A line is a row of positions along the kernel's longer axis: over frequency where it is VERTICAL,
// else over time. A thread computes 16 positions of a line for 4 channels; its window of inputs
// slides over the line eight taps at a time. Sums are not kept in registers by a software adapter; with
// the taps innermost it loads and stores each once for eight of them.
//
// A kernel gives `weight`, `params`, and take(i, sum), which is called for each of the 16. The piece
// `front_input` goes with this one.

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

// `weights` is where the quad's weights begin.
fn convolve(place: Place, weights: u32, b: vec4f) {
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;
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
            let w0 = weight[tap];
            let w1 = weight[tap + 1u];
            let w2 = weight[tap + 2u];
            let w3 = weight[tap + 3u];
            let w4 = weight[tap + 4u];
            let w5 = weight[tap + 5u];
            let w6 = weight[tap + 6u];
            let w7 = weight[tap + 7u];
            s0.x = fma(w7.x, x7, fma(w6.x, x6, fma(w5.x, x5, fma(w4.x, x4, fma(w3.x, x3, fma(w2.x, x2, fma(w1.x, x1, fma(w0.x, x0, s0.x))))))));
            s1.x = fma(w7.x, x8, fma(w6.x, x7, fma(w5.x, x6, fma(w4.x, x5, fma(w3.x, x4, fma(w2.x, x3, fma(w1.x, x2, fma(w0.x, x1, s1.x))))))));
            s2.x = fma(w7.x, x9, fma(w6.x, x8, fma(w5.x, x7, fma(w4.x, x6, fma(w3.x, x5, fma(w2.x, x4, fma(w1.x, x3, fma(w0.x, x2, s2.x))))))));
            s3.x = fma(w7.x, x10, fma(w6.x, x9, fma(w5.x, x8, fma(w4.x, x7, fma(w3.x, x6, fma(w2.x, x5, fma(w1.x, x4, fma(w0.x, x3, s3.x))))))));
            s4.x = fma(w7.x, x11, fma(w6.x, x10, fma(w5.x, x9, fma(w4.x, x8, fma(w3.x, x7, fma(w2.x, x6, fma(w1.x, x5, fma(w0.x, x4, s4.x))))))));
            s5.x = fma(w7.x, x12, fma(w6.x, x11, fma(w5.x, x10, fma(w4.x, x9, fma(w3.x, x8, fma(w2.x, x7, fma(w1.x, x6, fma(w0.x, x5, s5.x))))))));
            s6.x = fma(w7.x, x13, fma(w6.x, x12, fma(w5.x, x11, fma(w4.x, x10, fma(w3.x, x9, fma(w2.x, x8, fma(w1.x, x7, fma(w0.x, x6, s6.x))))))));
            s7.x = fma(w7.x, x14, fma(w6.x, x13, fma(w5.x, x12, fma(w4.x, x11, fma(w3.x, x10, fma(w2.x, x9, fma(w1.x, x8, fma(w0.x, x7, s7.x))))))));
            s8.x = fma(w7.x, x15, fma(w6.x, x14, fma(w5.x, x13, fma(w4.x, x12, fma(w3.x, x11, fma(w2.x, x10, fma(w1.x, x9, fma(w0.x, x8, s8.x))))))));
            s9.x = fma(w7.x, x16, fma(w6.x, x15, fma(w5.x, x14, fma(w4.x, x13, fma(w3.x, x12, fma(w2.x, x11, fma(w1.x, x10, fma(w0.x, x9, s9.x))))))));
            s10.x = fma(w7.x, x17, fma(w6.x, x16, fma(w5.x, x15, fma(w4.x, x14, fma(w3.x, x13, fma(w2.x, x12, fma(w1.x, x11, fma(w0.x, x10, s10.x))))))));
            s11.x = fma(w7.x, x18, fma(w6.x, x17, fma(w5.x, x16, fma(w4.x, x15, fma(w3.x, x14, fma(w2.x, x13, fma(w1.x, x12, fma(w0.x, x11, s11.x))))))));
            s12.x = fma(w7.x, x19, fma(w6.x, x18, fma(w5.x, x17, fma(w4.x, x16, fma(w3.x, x15, fma(w2.x, x14, fma(w1.x, x13, fma(w0.x, x12, s12.x))))))));
            s13.x = fma(w7.x, x20, fma(w6.x, x19, fma(w5.x, x18, fma(w4.x, x17, fma(w3.x, x16, fma(w2.x, x15, fma(w1.x, x14, fma(w0.x, x13, s13.x))))))));
            s14.x = fma(w7.x, x21, fma(w6.x, x20, fma(w5.x, x19, fma(w4.x, x18, fma(w3.x, x17, fma(w2.x, x16, fma(w1.x, x15, fma(w0.x, x14, s14.x))))))));
            s15.x = fma(w7.x, x22, fma(w6.x, x21, fma(w5.x, x20, fma(w4.x, x19, fma(w3.x, x18, fma(w2.x, x17, fma(w1.x, x16, fma(w0.x, x15, s15.x))))))));
            s0.y = fma(w7.y, x7, fma(w6.y, x6, fma(w5.y, x5, fma(w4.y, x4, fma(w3.y, x3, fma(w2.y, x2, fma(w1.y, x1, fma(w0.y, x0, s0.y))))))));
            s1.y = fma(w7.y, x8, fma(w6.y, x7, fma(w5.y, x6, fma(w4.y, x5, fma(w3.y, x4, fma(w2.y, x3, fma(w1.y, x2, fma(w0.y, x1, s1.y))))))));
            s2.y = fma(w7.y, x9, fma(w6.y, x8, fma(w5.y, x7, fma(w4.y, x6, fma(w3.y, x5, fma(w2.y, x4, fma(w1.y, x3, fma(w0.y, x2, s2.y))))))));
            s3.y = fma(w7.y, x10, fma(w6.y, x9, fma(w5.y, x8, fma(w4.y, x7, fma(w3.y, x6, fma(w2.y, x5, fma(w1.y, x4, fma(w0.y, x3, s3.y))))))));
            s4.y = fma(w7.y, x11, fma(w6.y, x10, fma(w5.y, x9, fma(w4.y, x8, fma(w3.y, x7, fma(w2.y, x6, fma(w1.y, x5, fma(w0.y, x4, s4.y))))))));
            s5.y = fma(w7.y, x12, fma(w6.y, x11, fma(w5.y, x10, fma(w4.y, x9, fma(w3.y, x8, fma(w2.y, x7, fma(w1.y, x6, fma(w0.y, x5, s5.y))))))));
            s6.y = fma(w7.y, x13, fma(w6.y, x12, fma(w5.y, x11, fma(w4.y, x10, fma(w3.y, x9, fma(w2.y, x8, fma(w1.y, x7, fma(w0.y, x6, s6.y))))))));
            s7.y = fma(w7.y, x14, fma(w6.y, x13, fma(w5.y, x12, fma(w4.y, x11, fma(w3.y, x10, fma(w2.y, x9, fma(w1.y, x8, fma(w0.y, x7, s7.y))))))));
            s8.y = fma(w7.y, x15, fma(w6.y, x14, fma(w5.y, x13, fma(w4.y, x12, fma(w3.y, x11, fma(w2.y, x10, fma(w1.y, x9, fma(w0.y, x8, s8.y))))))));
            s9.y = fma(w7.y, x16, fma(w6.y, x15, fma(w5.y, x14, fma(w4.y, x13, fma(w3.y, x12, fma(w2.y, x11, fma(w1.y, x10, fma(w0.y, x9, s9.y))))))));
            s10.y = fma(w7.y, x17, fma(w6.y, x16, fma(w5.y, x15, fma(w4.y, x14, fma(w3.y, x13, fma(w2.y, x12, fma(w1.y, x11, fma(w0.y, x10, s10.y))))))));
            s11.y = fma(w7.y, x18, fma(w6.y, x17, fma(w5.y, x16, fma(w4.y, x15, fma(w3.y, x14, fma(w2.y, x13, fma(w1.y, x12, fma(w0.y, x11, s11.y))))))));
            s12.y = fma(w7.y, x19, fma(w6.y, x18, fma(w5.y, x17, fma(w4.y, x16, fma(w3.y, x15, fma(w2.y, x14, fma(w1.y, x13, fma(w0.y, x12, s12.y))))))));
            s13.y = fma(w7.y, x20, fma(w6.y, x19, fma(w5.y, x18, fma(w4.y, x17, fma(w3.y, x16, fma(w2.y, x15, fma(w1.y, x14, fma(w0.y, x13, s13.y))))))));
            s14.y = fma(w7.y, x21, fma(w6.y, x20, fma(w5.y, x19, fma(w4.y, x18, fma(w3.y, x17, fma(w2.y, x16, fma(w1.y, x15, fma(w0.y, x14, s14.y))))))));
            s15.y = fma(w7.y, x22, fma(w6.y, x21, fma(w5.y, x20, fma(w4.y, x19, fma(w3.y, x18, fma(w2.y, x17, fma(w1.y, x16, fma(w0.y, x15, s15.y))))))));
            s0.z = fma(w7.z, x7, fma(w6.z, x6, fma(w5.z, x5, fma(w4.z, x4, fma(w3.z, x3, fma(w2.z, x2, fma(w1.z, x1, fma(w0.z, x0, s0.z))))))));
            s1.z = fma(w7.z, x8, fma(w6.z, x7, fma(w5.z, x6, fma(w4.z, x5, fma(w3.z, x4, fma(w2.z, x3, fma(w1.z, x2, fma(w0.z, x1, s1.z))))))));
            s2.z = fma(w7.z, x9, fma(w6.z, x8, fma(w5.z, x7, fma(w4.z, x6, fma(w3.z, x5, fma(w2.z, x4, fma(w1.z, x3, fma(w0.z, x2, s2.z))))))));
            s3.z = fma(w7.z, x10, fma(w6.z, x9, fma(w5.z, x8, fma(w4.z, x7, fma(w3.z, x6, fma(w2.z, x5, fma(w1.z, x4, fma(w0.z, x3, s3.z))))))));
            s4.z = fma(w7.z, x11, fma(w6.z, x10, fma(w5.z, x9, fma(w4.z, x8, fma(w3.z, x7, fma(w2.z, x6, fma(w1.z, x5, fma(w0.z, x4, s4.z))))))));
            s5.z = fma(w7.z, x12, fma(w6.z, x11, fma(w5.z, x10, fma(w4.z, x9, fma(w3.z, x8, fma(w2.z, x7, fma(w1.z, x6, fma(w0.z, x5, s5.z))))))));
            s6.z = fma(w7.z, x13, fma(w6.z, x12, fma(w5.z, x11, fma(w4.z, x10, fma(w3.z, x9, fma(w2.z, x8, fma(w1.z, x7, fma(w0.z, x6, s6.z))))))));
            s7.z = fma(w7.z, x14, fma(w6.z, x13, fma(w5.z, x12, fma(w4.z, x11, fma(w3.z, x10, fma(w2.z, x9, fma(w1.z, x8, fma(w0.z, x7, s7.z))))))));
            s8.z = fma(w7.z, x15, fma(w6.z, x14, fma(w5.z, x13, fma(w4.z, x12, fma(w3.z, x11, fma(w2.z, x10, fma(w1.z, x9, fma(w0.z, x8, s8.z))))))));
            s9.z = fma(w7.z, x16, fma(w6.z, x15, fma(w5.z, x14, fma(w4.z, x13, fma(w3.z, x12, fma(w2.z, x11, fma(w1.z, x10, fma(w0.z, x9, s9.z))))))));
            s10.z = fma(w7.z, x17, fma(w6.z, x16, fma(w5.z, x15, fma(w4.z, x14, fma(w3.z, x13, fma(w2.z, x12, fma(w1.z, x11, fma(w0.z, x10, s10.z))))))));
            s11.z = fma(w7.z, x18, fma(w6.z, x17, fma(w5.z, x16, fma(w4.z, x15, fma(w3.z, x14, fma(w2.z, x13, fma(w1.z, x12, fma(w0.z, x11, s11.z))))))));
            s12.z = fma(w7.z, x19, fma(w6.z, x18, fma(w5.z, x17, fma(w4.z, x16, fma(w3.z, x15, fma(w2.z, x14, fma(w1.z, x13, fma(w0.z, x12, s12.z))))))));
            s13.z = fma(w7.z, x20, fma(w6.z, x19, fma(w5.z, x18, fma(w4.z, x17, fma(w3.z, x16, fma(w2.z, x15, fma(w1.z, x14, fma(w0.z, x13, s13.z))))))));
            s14.z = fma(w7.z, x21, fma(w6.z, x20, fma(w5.z, x19, fma(w4.z, x18, fma(w3.z, x17, fma(w2.z, x16, fma(w1.z, x15, fma(w0.z, x14, s14.z))))))));
            s15.z = fma(w7.z, x22, fma(w6.z, x21, fma(w5.z, x20, fma(w4.z, x19, fma(w3.z, x18, fma(w2.z, x17, fma(w1.z, x16, fma(w0.z, x15, s15.z))))))));
            s0.w = fma(w7.w, x7, fma(w6.w, x6, fma(w5.w, x5, fma(w4.w, x4, fma(w3.w, x3, fma(w2.w, x2, fma(w1.w, x1, fma(w0.w, x0, s0.w))))))));
            s1.w = fma(w7.w, x8, fma(w6.w, x7, fma(w5.w, x6, fma(w4.w, x5, fma(w3.w, x4, fma(w2.w, x3, fma(w1.w, x2, fma(w0.w, x1, s1.w))))))));
            s2.w = fma(w7.w, x9, fma(w6.w, x8, fma(w5.w, x7, fma(w4.w, x6, fma(w3.w, x5, fma(w2.w, x4, fma(w1.w, x3, fma(w0.w, x2, s2.w))))))));
            s3.w = fma(w7.w, x10, fma(w6.w, x9, fma(w5.w, x8, fma(w4.w, x7, fma(w3.w, x6, fma(w2.w, x5, fma(w1.w, x4, fma(w0.w, x3, s3.w))))))));
            s4.w = fma(w7.w, x11, fma(w6.w, x10, fma(w5.w, x9, fma(w4.w, x8, fma(w3.w, x7, fma(w2.w, x6, fma(w1.w, x5, fma(w0.w, x4, s4.w))))))));
            s5.w = fma(w7.w, x12, fma(w6.w, x11, fma(w5.w, x10, fma(w4.w, x9, fma(w3.w, x8, fma(w2.w, x7, fma(w1.w, x6, fma(w0.w, x5, s5.w))))))));
            s6.w = fma(w7.w, x13, fma(w6.w, x12, fma(w5.w, x11, fma(w4.w, x10, fma(w3.w, x9, fma(w2.w, x8, fma(w1.w, x7, fma(w0.w, x6, s6.w))))))));
            s7.w = fma(w7.w, x14, fma(w6.w, x13, fma(w5.w, x12, fma(w4.w, x11, fma(w3.w, x10, fma(w2.w, x9, fma(w1.w, x8, fma(w0.w, x7, s7.w))))))));
            s8.w = fma(w7.w, x15, fma(w6.w, x14, fma(w5.w, x13, fma(w4.w, x12, fma(w3.w, x11, fma(w2.w, x10, fma(w1.w, x9, fma(w0.w, x8, s8.w))))))));
            s9.w = fma(w7.w, x16, fma(w6.w, x15, fma(w5.w, x14, fma(w4.w, x13, fma(w3.w, x12, fma(w2.w, x11, fma(w1.w, x10, fma(w0.w, x9, s9.w))))))));
            s10.w = fma(w7.w, x17, fma(w6.w, x16, fma(w5.w, x15, fma(w4.w, x14, fma(w3.w, x13, fma(w2.w, x12, fma(w1.w, x11, fma(w0.w, x10, s10.w))))))));
            s11.w = fma(w7.w, x18, fma(w6.w, x17, fma(w5.w, x16, fma(w4.w, x15, fma(w3.w, x14, fma(w2.w, x13, fma(w1.w, x12, fma(w0.w, x11, s11.w))))))));
            s12.w = fma(w7.w, x19, fma(w6.w, x18, fma(w5.w, x17, fma(w4.w, x16, fma(w3.w, x15, fma(w2.w, x14, fma(w1.w, x13, fma(w0.w, x12, s12.w))))))));
            s13.w = fma(w7.w, x20, fma(w6.w, x19, fma(w5.w, x18, fma(w4.w, x17, fma(w3.w, x16, fma(w2.w, x15, fma(w1.w, x14, fma(w0.w, x13, s13.w))))))));
            s14.w = fma(w7.w, x21, fma(w6.w, x20, fma(w5.w, x19, fma(w4.w, x18, fma(w3.w, x17, fma(w2.w, x16, fma(w1.w, x15, fma(w0.w, x14, s14.w))))))));
            s15.w = fma(w7.w, x22, fma(w6.w, x21, fma(w5.w, x20, fma(w4.w, x19, fma(w3.w, x18, fma(w2.w, x17, fma(w1.w, x16, fma(w0.w, x15, s15.w))))))));
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
