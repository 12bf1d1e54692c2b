// Gradients of batch norm's parameters, and the two means that its input gradient subtracts:
//     d_beta = Σ d_output,  d_gamma = Σ d_output · x̂
//     terms = d_beta / N,  d_gamma / N
// One thread a channel of the padded quads.

struct Params {
    channels: u32,
    // Shares of `partial`.
    shares: u32,
    // N, the elements of a channel over the batch and the full plane.
    elements: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [shares, quads, 2, 4]
@group(0) @binding(1) var<storage, read> partial: array<f32>;
// [channels]
@group(0) @binding(2) var<storage, read_write> d_gamma: array<f32>;
@group(0) @binding(3) var<storage, read_write> d_beta: array<f32>;
// [2, quads, 4]
@group(0) @binding(4) var<storage, read_write> terms: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let quads = (params.channels + 3u) / 4u;
    if id.x >= 4u * quads {
        return;
    }
    var first = 0.0;
    var second = 0.0;
    for (var share = 0u; share < params.shares; share++) {
        let row = (share * quads + id.x / 4u) * 8u + id.x % 4u;
        first += partial[row];
        second += partial[row + 4u];
    }
    if id.x < params.channels {
        d_beta[id.x] = first;
        d_gamma[id.x] = second;
    }
    terms[id.x] = first / params.elements;
    terms[4u * quads + id.x] = second / params.elements;
}
