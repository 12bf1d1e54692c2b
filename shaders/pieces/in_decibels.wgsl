// An energy in decibels, 10·log10(max(1e-10, S)).

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
