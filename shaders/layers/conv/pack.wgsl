// Rearranges convolution weights for the kernels that read them four channels at a time:
//     forward[o/4, i/4, t]  column i%4, row o%4 = weight[o, i, first + t]
//     backward[i/4, o/4, t] column o%4, row i%4 = weight[o, i, first + taps − 1 − t]
// Channels past the last and taps past `taps` are zero. Taps outside [first, first + taps) only
// ever meet padding and are left out. One thread a matrix.

struct Params {
    in_channels: u32,
    out_channels: u32,
    // Taps of a stored kernel, the first used one, the used ones, and those in groups of three.
    stored: u32,
    first: u32,
    taps: u32,
    padded: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [out_channels, in_channels, stored]
@group(0) @binding(1) var<storage, read> weight: array<f32>;
// [out_quads, in_quads, padded]
@group(0) @binding(2) var<storage, read_write> forward: array<mat4x4f>;
// [in_quads, out_quads, padded]
@group(0) @binding(3) var<storage, read_write> backward: array<mat4x4f>;

fn at(o: u32, i: u32, t: u32) -> f32 {
    if o >= params.out_channels || i >= params.in_channels {
        return 0.0;
    }
    return weight[(o * params.in_channels + i) * params.stored + params.first + t];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let in_quads = (params.in_channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;
    if id.x >= in_quads * out_quads * params.padded {
        return;
    }
    let t = id.x % params.padded;
    let i = id.x / params.padded % in_quads;
    let o = id.x / params.padded / in_quads;
    var matrix = mat4x4f();
    var reversed = mat4x4f();
    if t < params.taps {
        for (var c = 0u; c < 4u; c++) {
            matrix[c] = vec4f(
                at(4u * o, 4u * i + c, t),
                at(4u * o + 1u, 4u * i + c, t),
                at(4u * o + 2u, 4u * i + c, t),
                at(4u * o + 3u, 4u * i + c, t),
            );
            let last = params.taps - 1u - t;
            reversed[c] = vec4f(
                at(4u * o + c, 4u * i, last),
                at(4u * o + c, 4u * i + 1u, last),
                at(4u * o + c, 4u * i + 2u, last),
                at(4u * o + c, 4u * i + 3u, last),
            );
        }
    }
    forward[id.x] = matrix;
    backward[(i * out_quads + o) * params.padded + t] = reversed;
}
