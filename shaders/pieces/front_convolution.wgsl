// A convolution of the one channel of spectrograms, "same" over time and "valid" over frequency: of a
// workgroup's quad of channels, beginning with b,
//     sum[p] = b + Σ_r,t weight[r, t] · x[line + r − above, p + t − before]
//
// A line is a row of positions along the kernel's longer axis: over frequency where it is VERTICAL,
// else over time. A thread computes 16 positions of a line for 4 channels; its window of inputs
// slides over the line four taps at a time.
//
// A kernel gives `input`, `weight`, `params`, and take(i, sum), which is called for each of the 16.

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

// Of four taps.
fn groups() -> u32 {
    return (params.taps + 3u) / 4u;
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

// The standardised input at a position of the line that begins at `row`; zero outside.
fn load(row: u32, limit: i32, position: i32) -> f32 {
    let at = row + u32(clamp(position, 0, i32(params.length) - 1)) * params.along;
    let value = (input[at] - params.mean) * params.inverse_deviation;
    return select(0.0, value, position >= 0 && position < limit);
}

// `weights` is where the quad's weights begin.
fn convolve(place: Place, weights: u32, b: vec4f) {
    var s0 = b; var s1 = b; var s2 = b; var s3 = b;
    var s4 = b; var s5 = b; var s6 = b; var s7 = b;
    var s8 = b; var s9 = b; var s10 = b; var s11 = b;
    var s12 = b; var s13 = b; var s14 = b; var s15 = b;
    var r = 0u;
    loop {
        let other = i32(place.line) + i32(r) - i32(params.above);
        let limit = select(0, i32(params.length), other >= 0 && other < i32(params.lines));
        let row = place.clip * params.length * params.lines
            + u32(clamp(other, 0, i32(params.lines) - 1)) * params.across;
        var at = i32(place.first) - i32(params.before);
        var x0 = load(row, limit, at);
        var x1 = load(row, limit, at + 1);
        var x2 = load(row, limit, at + 2);
        var x3 = load(row, limit, at + 3);
        var x4 = load(row, limit, at + 4);
        var x5 = load(row, limit, at + 5);
        var x6 = load(row, limit, at + 6);
        var x7 = load(row, limit, at + 7);
        var x8 = load(row, limit, at + 8);
        var x9 = load(row, limit, at + 9);
        var x10 = load(row, limit, at + 10);
        var x11 = load(row, limit, at + 11);
        var x12 = load(row, limit, at + 12);
        var x13 = load(row, limit, at + 13);
        var x14 = load(row, limit, at + 14);
        var tap = weights + r * 4u * groups();
        var g = 0u;
        loop {
            let x15 = load(row, limit, at + 15);
            let x16 = load(row, limit, at + 16);
            let x17 = load(row, limit, at + 17);
            let x18 = load(row, limit, at + 18);
            var w = weight[tap];
            s0 = fma(w, vec4f(x0), s0);
            s1 = fma(w, vec4f(x1), s1);
            s2 = fma(w, vec4f(x2), s2);
            s3 = fma(w, vec4f(x3), s3);
            s4 = fma(w, vec4f(x4), s4);
            s5 = fma(w, vec4f(x5), s5);
            s6 = fma(w, vec4f(x6), s6);
            s7 = fma(w, vec4f(x7), s7);
            s8 = fma(w, vec4f(x8), s8);
            s9 = fma(w, vec4f(x9), s9);
            s10 = fma(w, vec4f(x10), s10);
            s11 = fma(w, vec4f(x11), s11);
            s12 = fma(w, vec4f(x12), s12);
            s13 = fma(w, vec4f(x13), s13);
            s14 = fma(w, vec4f(x14), s14);
            s15 = fma(w, vec4f(x15), s15);
            w = weight[tap + 1u];
            s0 = fma(w, vec4f(x1), s0);
            s1 = fma(w, vec4f(x2), s1);
            s2 = fma(w, vec4f(x3), s2);
            s3 = fma(w, vec4f(x4), s3);
            s4 = fma(w, vec4f(x5), s4);
            s5 = fma(w, vec4f(x6), s5);
            s6 = fma(w, vec4f(x7), s6);
            s7 = fma(w, vec4f(x8), s7);
            s8 = fma(w, vec4f(x9), s8);
            s9 = fma(w, vec4f(x10), s9);
            s10 = fma(w, vec4f(x11), s10);
            s11 = fma(w, vec4f(x12), s11);
            s12 = fma(w, vec4f(x13), s12);
            s13 = fma(w, vec4f(x14), s13);
            s14 = fma(w, vec4f(x15), s14);
            s15 = fma(w, vec4f(x16), s15);
            w = weight[tap + 2u];
            s0 = fma(w, vec4f(x2), s0);
            s1 = fma(w, vec4f(x3), s1);
            s2 = fma(w, vec4f(x4), s2);
            s3 = fma(w, vec4f(x5), s3);
            s4 = fma(w, vec4f(x6), s4);
            s5 = fma(w, vec4f(x7), s5);
            s6 = fma(w, vec4f(x8), s6);
            s7 = fma(w, vec4f(x9), s7);
            s8 = fma(w, vec4f(x10), s8);
            s9 = fma(w, vec4f(x11), s9);
            s10 = fma(w, vec4f(x12), s10);
            s11 = fma(w, vec4f(x13), s11);
            s12 = fma(w, vec4f(x14), s12);
            s13 = fma(w, vec4f(x15), s13);
            s14 = fma(w, vec4f(x16), s14);
            s15 = fma(w, vec4f(x17), s15);
            w = weight[tap + 3u];
            s0 = fma(w, vec4f(x3), s0);
            s1 = fma(w, vec4f(x4), s1);
            s2 = fma(w, vec4f(x5), s2);
            s3 = fma(w, vec4f(x6), s3);
            s4 = fma(w, vec4f(x7), s4);
            s5 = fma(w, vec4f(x8), s5);
            s6 = fma(w, vec4f(x9), s6);
            s7 = fma(w, vec4f(x10), s7);
            s8 = fma(w, vec4f(x11), s8);
            s9 = fma(w, vec4f(x12), s9);
            s10 = fma(w, vec4f(x13), s10);
            s11 = fma(w, vec4f(x14), s11);
            s12 = fma(w, vec4f(x15), s12);
            s13 = fma(w, vec4f(x16), s13);
            s14 = fma(w, vec4f(x17), s14);
            s15 = fma(w, vec4f(x18), s15);
            x0 = x4; x1 = x5; x2 = x6; x3 = x7; x4 = x8;
            x5 = x9; x6 = x10; x7 = x11; x8 = x12; x9 = x13;
            x10 = x14; x11 = x15; x12 = x16; x13 = x17; x14 = x18;
            at += 4;
            tap += 4u;
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
