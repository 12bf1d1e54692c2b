// A feature map, normalised, as some of the channels of a wider one:
//     output[n, first + c, p] = scale[c] · input[n, c, p] + shift[c]
// What fills the last quad of the wider map is zero; the map whose channels are the last writes it.
// `affine` becomes the scale and the shift that change nothing.
//
// Maps hold channels in quads: [clip, channel/4, place] of vec4. One thread a quad of the input.

struct Params {
    clips: u32,
    channels: u32,
    out_channels: u32,
    // The first of the map's channels in the wider map.
    first: u32,
    // Places of a map.
    plane: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> input: array<vec4f>;
// [2, quads]: scale, then shift
@group(0) @binding(2) var<storage, read> input_affine: array<vec4f>;
// [clips, out_quads, plane, 4]
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
// [2, out_quads]
@group(0) @binding(4) var<storage, read_write> affine: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let quads = (params.channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;
    if id.x < 2u * out_quads && id.y == 0u && id.z == 0u {
        affine[id.x] = vec4f(select(0.0, 1.0, id.x < out_quads));
    }
    if id.x >= params.plane {
        return;
    }
    let at = (id.z * quads + id.y) * params.plane + id.x;
    let value = fma(input[at], input_affine[id.y], input_affine[quads + id.y]);
    // Past the map's own channels, only the last map has places of its own.
    let is_last = params.first + params.channels == params.out_channels;
    let end = select(params.first + params.channels, 4u * out_quads, is_last);
    for (var c = 0u; c < 4u; c++) {
        let channel = params.first + 4u * id.y + c;
        if channel < end {
            let real = 4u * id.y + c < params.channels;
            let place = (id.z * out_quads + channel / 4u) * params.plane + id.x;
            output[4u * place + channel % 4u] = select(0.0, value[c], real);
        }
    }
    // The map's quads may end before the wider map's do.
    if is_last && id.y + 1u == quads {
        for (var channel = params.first + 4u * quads; channel < 4u * out_quads; channel++) {
            let place = (id.z * out_quads + channel / 4u) * params.plane + id.x;
            output[4u * place + channel % 4u] = 0.0;
        }
    }
}
