// Decibels, held within a range below the clip's loudest:
//     dB(S) = 10·log10(max(1e-10, S))
//     decibels[clip, i] = max(dB(energies[clip, i]), dB(peak[clip]) − top_db)
// One thread an element.

struct Params {
    clips: u32,
    // Elements of a clip.
    size: u32,
    top_db: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, size]
@group(0) @binding(1) var<storage, read> energies: array<f32>;
// [clips]
@group(0) @binding(2) var<storage, read> peak: array<f32>;
// [clips, size]
@group(0) @binding(3) var<storage, read_write> decibels: array<f32>;

const FLOOR = 1e-10;
const SQRT_HALF = 0.70710678;
// 10·log10(2) and 10·log10(e)
const PER_OCTAVE = 3.0102999566;
const PER_E = 4.3429448190;

// WGSL leaves log some error, and adapters use it. Here x = m·2^e with m within √½ … √2, and
//     ln m = 2·artanh(s),   s = (m − 1) / (m + 1),   |s| < 0.172
// whose series ends below the rounding of f32 after s⁹.
fn in_decibels(energy: f32) -> f32 {
    let x = frexp(max(FLOOR, energy));
    let low = x.fract < SQRT_HALF;
    let m = select(x.fract, 2.0 * x.fract, low);
    let e = f32(select(x.exp, x.exp - 1, low));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    return PER_OCTAVE * e + PER_E * 2.0 * s * series;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.size {
        return;
    }
    let at = id.y * params.size + id.x;
    decibels[at] = max(in_decibels(energies[at]), in_decibels(peak[id.y]) - params.top_db);
}
