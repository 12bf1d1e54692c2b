// Adds up the shares of a convolution's weight gradient and puts them into the weights' layout:
//     d_weight[o, i, first + t] = Σ_split partial[split, o/4, i/4, t, i%4][o%4]
//     d_bias[o] = Σ_split bias_partial[split, o/4][o%4]
// Taps that only ever meet padding get zero. One thread a weight, then one a bias.

struct Params {
    in_channels: u32,
    out_channels: u32,
    // Taps of a stored kernel, the first used one, the used ones, and those in groups of three.
    stored: u32,
    first: u32,
    taps: u32,
    padded: u32,
    splits: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [splits, out_quads, in_quads, padded, 4, 4]
@group(0) @binding(1) var<storage, read> partial: array<f32>;
// [splits, out_quads, 4]
@group(0) @binding(2) var<storage, read> bias_partial: array<f32>;
// [out_channels, in_channels, stored]
@group(0) @binding(3) var<storage, read_write> d_weight: array<f32>;
// [out_channels]
@group(0) @binding(4) var<storage, read_write> d_bias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let weights = params.out_channels * params.in_channels * params.stored;
    let in_quads = (params.in_channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;
    var sum = 0.0;
    if id.x < weights {
        let t = id.x % params.stored;
        let i = id.x / params.stored % params.in_channels;
        let o = id.x / params.stored / params.in_channels;
        if t >= params.first && t < params.first + params.taps {
            let one = out_quads * in_quads * params.padded * 16u;
            let tap = (o / 4u * in_quads + i / 4u) * params.padded + t - params.first;
            for (var split = 0u; split < params.splits; split++) {
                sum += partial[split * one + (tap * 4u + i % 4u) * 4u + o % 4u];
            }
        }
        d_weight[id.x] = sum;
    } else if id.x < weights + params.out_channels {
        let o = id.x - weights;
        for (var split = 0u; split < params.splits; split++) {
            sum += bias_partial[split * out_quads * 4u + o];
        }
        d_bias[o] = sum;
    }
}
