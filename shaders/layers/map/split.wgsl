// Gradient of layers/map/join to one of the maps:
//     d_input[n, c, p] = d_output[n, first + c, p]
// Zero past the map's last channel. One thread a quad of the map.

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
// [clips, out_quads, plane, 4]
@group(0) @binding(1) var<storage, read> d_output: array<f32>;
// [clips, quads, plane]
@group(0) @binding(2) var<storage, read_write> d_input: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    if id.x >= params.plane {
        return;
    }
    let quads = (params.channels + 3u) / 4u;
    let out_quads = (params.out_channels + 3u) / 4u;
    var value = vec4f();
    for (var c = 0u; c < 4u; c++) {
        if 4u * id.y + c < params.channels {
            let channel = params.first + 4u * id.y + c;
            let place = (id.z * out_quads + channel / 4u) * params.plane + id.x;
            value[c] = d_output[4u * place + channel % 4u];
        }
    }
    d_input[(id.z * quads + id.y) * params.plane + id.x] = value;
}
