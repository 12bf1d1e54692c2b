// Adds up the shares of the first convolution's weight gradient:
//     d_weight[o, t] = Σ_share partial[share, o/4, t][o%4]
//     d_bias[o] = Σ_share partial[share, o/4, taps][o%4]
// One thread a weight, then one a bias.

struct Params {
    out_channels: u32,
    taps: u32,
    shares: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [shares, out_quads, taps + 1, 4]
@group(0) @binding(1) var<storage, read> partial: array<f32>;
// [out_channels, taps]
@group(0) @binding(2) var<storage, read_write> d_weight: array<f32>;
// [out_channels]
@group(0) @binding(3) var<storage, read_write> d_bias: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let weights = params.out_channels * params.taps;
    if id.x >= weights + params.out_channels {
        return;
    }
    let is_bias = id.x >= weights;
    let o = select(id.x / params.taps, id.x - weights, is_bias);
    let t = select(id.x % params.taps, params.taps, is_bias);
    let columns = params.taps + 1u;
    let one = (params.out_channels + 3u) / 4u * columns * 4u;
    var sum = 0.0;
    for (var share = 0u; share < params.shares; share++) {
        sum += partial[share * one + (o / 4u * columns + t) * 4u + o % 4u];
    }
    if is_bias {
        d_bias[o] = sum;
    } else {
        d_weight[id.x] = sum;
    }
}
