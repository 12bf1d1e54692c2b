// Rearranges convolution weights for the kernels that read them four channels at a time:
//     forward[o/4, i/4, r, t]  column i%4, row o%4 = weight[o, i, tap t of line r]
//     backward[i/4, o/4, r, t] column o%4, row i%4 = weight[o, i, tap taps − 1 − t of line rows − 1 − r]
// Channels past the last and taps past `taps` are zero. Taps that only
// ever meet padding are left out. The matrices of a quad are filled up to a multiple of 4 with
// zeros, so that a uniform window may begin at any quad. One thread a matrix of each.

struct Params {
    in_channels: u32,
    out_channels: u32,
    // Taps of a stored kernel, the first used one, and the distances between neighbours along and
    // across the lines.
    stored: u32,
    first: u32,
    along_stride: u32,
    across_stride: u32,
    // Used taps along a line, those in groups of three, and lines.
    taps: u32,
    padded: u32,
    rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [out_channels, in_channels, stored]
@group(0) @binding(1) var<storage, read> weight: array<f32>;
// For each output quad: [in_quads, rows, padded], filled up to a multiple of 4
@group(0) @binding(2) var<storage, read_write> forward: array<mat4x4f>;
// For each input quad: [out_quads, rows, padded], filled up to a multiple of 4
@group(0) @binding(3) var<storage, read_write> backward: array<mat4x4f>;

// `tap` counts the taps line by line, [rows, padded].
fn at(o: u32, i: u32, tap: u32) -> f32 {
    let r = tap / params.padded;
    let t = tap % params.padded;
    if o >= params.out_channels || i >= params.in_channels || r >= params.rows || t >= params.taps {
        return 0.0;
    }
    let place = params.first + r * params.across_stride + t * params.along_stride;
    return weight[(o * params.in_channels + i) * params.stored + place];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let in_quads = (params.in_channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;
    let pair = params.rows * params.padded;

    // Past the last input quad, channels are past their end.
    let matrices = (in_quads * pair + 3u) & ~3u;
    if id.x < out_quads * matrices {
        let o = 4u * (id.x / matrices);
        let i = 4u * (id.x % matrices / pair);
        let t = id.x % matrices % pair;
        var matrix = mat4x4f();
        for (var c = 0u; c < 4u; c++) {
            matrix[c] = vec4f(at(o, i + c, t), at(o + 1u, i + c, t), at(o + 2u, i + c, t), at(o + 3u, i + c, t));
        }
        forward[id.x] = matrix;
    }

    let reversed = (out_quads * pair + 3u) & ~3u;
    if id.x < in_quads * reversed {
        let i = 4u * (id.x / reversed);
        let o = 4u * (id.x % reversed / pair);
        let tap = id.x % reversed % pair;
        var matrix = mat4x4f();
        if tap % params.padded < params.taps {
            let r = params.rows - 1u - tap / params.padded;
            let t = r * params.padded + params.taps - 1u - tap % params.padded;
            for (var c = 0u; c < 4u; c++) {
                matrix[c] = vec4f(at(o + c, i, t), at(o + c, i + 1u, t), at(o + c, i + 2u, t), at(o + c, i + 3u, t));
            }
        }
        backward[id.x] = matrix;
    }
}
