// Adds up the shares of a convolution's weight gradient and puts them into the weights' layout:
//     d_weight[o, i, tap t of line r] = Σ_share partial[share, o/4, i/4, r, t, i%4][o%4]
//     d_bias[o] = Σ_share bias_partial[share, o/4][o%4]
// Taps that only ever meet padding get zero. One thread a weight, then one a bias.

struct Params {
    in_channels: u32,
    out_channels: u32,
    // Used taps along a line, and the first of them; the distance between neighbours in the stored
    // kernel, and how many are stored.
    taps: u32,
    first: u32,
    along_stride: u32,
    along_stored: u32,
    // The same across the lines.
    rows: u32,
    first_row: u32,
    across_stride: u32,
    across_stored: u32,
    shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [shares, out_quads, in_quads, rows, taps, 4, 4]
@group(0) @binding(1) var<storage, read> partial: array<f32>;
// [shares, out_quads, 4]
@group(0) @binding(2) var<storage, read> bias_partial: array<f32>;
// [out_channels, in_channels, bands, steps]
@group(0) @binding(3) var<storage, read_write> d_weight: array<f32>;
// [out_channels]
@group(0) @binding(4) var<storage, read_write> d_bias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let stored = params.along_stored * params.across_stored;
    let weights = params.out_channels * params.in_channels * stored;
    let in_quads = (params.in_channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;
    var sum = 0.0;
    if id.x < weights {
        let i = id.x / stored % params.in_channels;
        let o = id.x / stored / params.in_channels;
        // Before the first used one, these wrap to what is past the last.
        let t = id.x % stored / params.along_stride % params.along_stored - params.first;
        let r = id.x % stored / params.across_stride % params.across_stored - params.first_row;
        if t < params.taps && r < params.rows {
            let one = out_quads * in_quads * params.rows * params.taps * 16u;
            let tap = ((o / 4u * in_quads + i / 4u) * params.rows + r) * params.taps + t;
            for (var share = 0u; share < params.shares; share++) {
                sum += partial[share * one + (tap * 4u + i % 4u) * 4u + o % 4u];
            }
        }
        d_weight[id.x] = sum;
    } else if id.x < weights + params.out_channels {
        let o = id.x - weights;
        for (var share = 0u; share < params.shares; share++) {
            sum += bias_partial[share * out_quads * 4u + o];
        }
        d_bias[o] = sum;
    }
}
