// A bank of filters over spectrograms up to its batch norm: convolution of one input channel, "same"
// over time and "valid" over frequency, bias, ReLU, and the maximum over all frequencies, in one
// pass, so that the activation, by far the largest tensor of the network, never exists:
//     x[n, f, t] = (input[n, f, t] − mean) · inverse_deviation
//     a[n, o, f, t] = max(0, bias[o] + Σ_k,l weight[o, k, l] · x[n, f + k, t + l − before])
//     pooled[n, o, t] = a at the f at which γ[o] · a is greatest
//     code[n, o, t] = the first such f, a byte a channel
//     partial[o] = Σ_n,f,t (a − pivot[o]),  Σ_n,f,t (a − pivot[o])²
// The maximum before batch norm is explained in layers/pool/forward.
//
// The padding in time stays zero: it surrounds the standardised input. The input is [clip, band,
// step]; outputs hold channels in quads. How the work is laid out stands in the piece.
// Workgroups: x covers the steps or the tiles of all clips, y the quads of this launch. A share of the
// sums is the work of one workgroup; those past the last item write zeros.

struct Params {
    // Clips; the first is 0, and the tensors hold no more.
    clips: u32,
    first_clip: u32,
    batch: u32,
    out_channels: u32,
    // Positions of the input along and across the lines, and the distance between neighbours.
    length: u32,
    lines: u32,
    along: u32,
    across: u32,
    // The same of the output.
    out_length: u32,
    out_lines: u32,
    // Taps along a line, and those before the position.
    taps: u32,
    before: u32,
    // Lines that the kernel spans, and those before the position.
    rows: u32,
    above: u32,
    // What standardises the input.
    mean: f32,
    inverse_deviation: f32,
    // The first quad of this launch, and how many there are in it.
    first: u32,
    count: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, bands, steps]
@group(0) @binding(1) var<storage, read> input: array<f32>;
// A window that begins at quad params.first. For each quad: [rows, taps in groups of eight], filled up
// to a multiple of 16.
@group(0) @binding(2) var<uniform> weight: array<vec4f, 4096>;
// [out_channels]
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read> gamma: array<f32>;
@group(0) @binding(5) var<storage, read> pivot: array<f32>;
// [clips, out_quads, steps]
@group(0) @binding(6) var<storage, read_write> pooled: array<vec4f>;
// [clips, out_quads, steps]
@group(0) @binding(7) var<storage, read_write> code: array<u32>;
// [shares, out_quads, 2]
@group(0) @binding(8) var<storage, read_write> partial: array<vec4f>;

// Less than any activation, of either sign.
const WORST = -3.0e38;

// What lanes know of four positions, to be compared.
var<workgroup> keys: array<vec4f, 256>;
var<workgroup> codes: array<u32, 256>;

// The greatest γ-signed activation so far, and its frequency, a byte a channel: of a vertical kernel's
// step, ...
var<private> highest: vec4f;
var<private> highest_at: u32;
// ... or of each position of the tile.
var<private> best: array<vec4f, 16>;
var<private> frequency: array<u32, 16>;
// Of this turn: the frequency of the first position, and how many positions count.
var<private> here: u32;
var<private> counted: u32;
// The sign of γ.
var<private> direction: vec4f;

// The bytes of `old`, those that have something better replaced by `byte`.
fn replaced(old: u32, byte: u32, better: vec4<bool>) -> u32 {
    let bytes = select(vec4u(), vec4u(0xffu, 0xff00u, 0xff0000u, 0xff000000u), better);
    let mask = bytes.x | bytes.y | bytes.z | bytes.w;
    return (old & ~mask) | ((byte * 0x01010101u) & mask);
}

// No branch depends on a lane, which sixteen calls would multiply.
fn take(i: u32, sum: vec4f) {
    let counts = vec4<bool>(i < counted);
    let value = max(sum, vec4f());
    let distance = select(vec4f(), value - center, counts);
    total += distance;
    squares = fma(distance, distance, squares);
    let key = value * direction;
    if VERTICAL {
        let better = counts & (key > highest);
        highest = select(highest, key, better);
        highest_at = replaced(highest_at, here + i, better);
    } else {
        let better = counts & (key > best[i]);
        best[i] = select(best[i], key, better);
        frequency[i] = replaced(frequency[i], here, better);
    }
}

fn packed(bytes: vec4u) -> u32 {
    return bytes.x | (bytes.y << 8u) | (bytes.z << 16u) | (bytes.w << 24u);
}

fn unpacked(bytes: u32) -> vec4u {
    return (vec4u(bytes) >> vec4u(0u, 8u, 16u, 24u)) & vec4u(0xffu);
}

// Compares four positions of a tile over the lanes that share it.
fn compare(group: u32, lane: u32, round: u32, quad: u32, quads: u32) {
    keys[lane] = best[round];
    keys[LANES + lane] = best[round + 1u];
    keys[2u * LANES + lane] = best[round + 2u];
    keys[3u * LANES + lane] = best[round + 3u];
    codes[lane] = frequency[round];
    codes[LANES + lane] = frequency[round + 1u];
    codes[2u * LANES + lane] = frequency[round + 2u];
    codes[3u * LANES + lane] = frequency[round + 3u];
    workgroupBarrier();
    let item = group * (LANES / BANDS) + lane / 4u;
    let step = item % tiles() * TILE + round + lane % 4u;
    if lane < 4u * (LANES / BANDS) && item < params.clips * tiles() && step < params.out_length {
        let first = lane % 4u * LANES + lane / 4u * BANDS;
        var key = keys[first];
        var found = unpacked(codes[first]);
        for (var other = first + 1u; other < first + min(BANDS, params.out_lines); other++) {
            let place = unpacked(codes[other]);
            let better = (keys[other] > key) | ((keys[other] == key) & (place < found));
            key = select(key, keys[other], better);
            found = select(found, place, better);
        }
        let at = (item / tiles() * quads + quad) * params.out_length + step;
        pooled[at] = key * direction;
        code[at] = packed(found);
    }
    workgroupBarrier();
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let quads = (params.out_channels + 3u) / 4u;
    let quad = params.first + group.y;
    let weights = group.y * ((params.rows * 8u * groups() + 15u) & ~15u);
    let b = bias_of(quad);
    center = pivot_of(quad);
    let i = places(quad);
    let signs = masked(quad, vec4f(gamma[i.x], gamma[i.y], gamma[i.z], gamma[i.w]));
    direction = select(vec4f(-1.0), vec4f(1.0), signs >= vec4f());
    highest = vec4f(WORST);
    // One by one: an array that a loop walks over would not stay in registers.
    best[0] = vec4f(WORST);
    best[1] = vec4f(WORST);
    best[2] = vec4f(WORST);
    best[3] = vec4f(WORST);
    best[4] = vec4f(WORST);
    best[5] = vec4f(WORST);
    best[6] = vec4f(WORST);
    best[7] = vec4f(WORST);
    best[8] = vec4f(WORST);
    best[9] = vec4f(WORST);
    best[10] = vec4f(WORST);
    best[11] = vec4f(WORST);
    best[12] = vec4f(WORST);
    best[13] = vec4f(WORST);
    best[14] = vec4f(WORST);
    best[15] = vec4f(WORST);

    let place = place_of(group.x, lane);
    var turn = 0u;
    loop {
        let now = turned(place, turn);
        counted = select(0u, min(TILE, params.out_length - now.first), now.real);
        here = select(now.line, now.first, VERTICAL);
        convolve(now, weights, b);
        continuing {
            turn++;
            break if turn >= turns();
        }
    }

    if VERTICAL {
        if place.real {
            let at = (place.clip * quads + quad) * params.out_lines + place.line;
            pooled[at] = highest * direction;
            code[at] = highest_at;
        }
    } else {
        compare(group.x, lane, 0u, quad, quads);
        compare(group.x, lane, 4u, quad, quads);
        compare(group.x, lane, 8u, quad, quads);
        compare(group.x, lane, 12u, quad, quads);
    }
    put_sums(lane, (group.x * quads + quad) * 2u);
}
