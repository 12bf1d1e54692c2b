// What batch norm's backward pass needs to know of the whole batch:
//     partial[c] = Σ_n,p d_output,  Σ_n,p d_output · x̂,  x̂ = (pooled − mean) / √(variance + ε)
// Max pooling passes the gradient to one position of each window, so the sums over the full plane
// are sums over the pooled one. Tensors hold channels in quads: [clip, channel/4, band, step] of
// vec4. One workgroup a quad (x) of a clip (y), and a share a clip.

struct Params {
    clips: u32,
    quads: u32,
    plane: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [clips, quads, plane]
@group(0) @binding(1) var<storage, read> d_output: array<vec4f>;
// [clips, quads, plane]
@group(0) @binding(2) var<storage, read> pooled: array<vec4f>;
// [3, quads]: mean, 1 / √(variance + ε), scale.
@group(0) @binding(3) var<storage, read> moments: array<vec4f>;
// [shares, quads, 2]
@group(0) @binding(4) var<storage, read_write> partial: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let start = (group.y * params.quads + group.x) * params.plane;
    let mean = moments[group.x];
    let inverse = moments[params.quads + group.x];
    var first = vec4f();
    var second = vec4f();
    for (var p = lane; p < params.plane; p += LANES) {
        let d = d_output[start + p];
        first += d;
        second += d * (pooled[start + p] - mean);
    }
    add_up(lane, first, second * inverse);
    if lane < 2u {
        partial[(group.y * params.quads + group.x) * 2u + lane] = sums[lane * LANES];
    }
}
