// Rearranges convolution weights for the kernels that read them four channels at a time:
//     forward[o/4, i/4, t]  column i%4, row o%4 = weight[o, i, first + t]
//     backward[i/4, o/4, t] column o%4, row i%4 = weight[o, i, first + taps − 1 − t]
// Channels past the last and taps past `taps` are zero. Taps outside [first, first + taps) only
// ever meet padding and are left out. The matrices of a quad are filled up to a multiple of 4 with
// zeros, so that a uniform window may begin at any quad. One thread a matrix of each.

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
// For each output quad: [in_quads, padded], filled up to a multiple of 4
@group(0) @binding(2) var<storage, read_write> forward: array<mat4x4f>;
// For each input quad: [out_quads, padded], filled up to a multiple of 4
@group(0) @binding(3) var<storage, read_write> backward: array<mat4x4f>;

fn at(o: u32, i: u32, t: u32) -> f32 {
    if o >= params.out_channels || i >= params.in_channels || t >= params.taps {
        return 0.0;
    }
    return weight[(o * params.in_channels + i) * params.stored + params.first + t];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let in_quads = (params.in_channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;

    // Matrix t of input quad i for output quad o. Past the last i, channels are past their end.
    let matrices = (in_quads * params.padded + 3u) & ~3u;
    if id.x < out_quads * matrices {
        let o = 4u * (id.x / matrices);
        let i = 4u * (id.x % matrices / params.padded);
        let t = id.x % matrices % params.padded;
        var matrix = mat4x4f();
        for (var c = 0u; c < 4u; c++) {
            matrix[c] = vec4f(at(o, i + c, t), at(o + 1u, i + c, t), at(o + 2u, i + c, t), at(o + 3u, i + c, t));
        }
        forward[id.x] = matrix;
    }

    let reversed = (out_quads * params.padded + 3u) & ~3u;
    if id.x < in_quads * reversed {
        let i = 4u * (id.x / reversed);
        let o = 4u * (id.x % reversed / params.padded);
        // Wraps past the last tap to what `at` takes for padding.
        let t = params.taps - 1u - id.x % reversed % params.padded;
        var matrix = mat4x4f();
        for (var c = 0u; c < 4u; c++) {
            matrix[c] = vec4f(at(o + c, i, t), at(o + c, i + 1u, t), at(o + c, i + 2u, t), at(o + c, i + 3u, t));
        }
        backward[id.x] = matrix;
    }
}
