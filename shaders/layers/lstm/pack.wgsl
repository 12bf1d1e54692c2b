// Packs LSTM weights so that the four gates of a unit lie together:
//     packed[k, d, u] = (weight[d, g · units + u, k] for the gates g = i, f, g, o)
// for both directions d. Serves weight_ih (inputs = features) and weight_hh (inputs = units).
// One thread a quad.

struct Params {
    units: u32,
    inputs: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [2, 4, units, inputs]
@group(0) @binding(1) var<storage, read> weight: array<f32>;
// [inputs, 2, units] of (i, f, g, o)
@group(0) @binding(2) var<storage, read_write> packed: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let columns = 2u * params.units;
    if id.x >= params.inputs * columns {
        return;
    }
    let k = id.x / columns;
    let d = id.x % columns / params.units;
    let u = id.x % columns % params.units;
    let gate = params.units * params.inputs;
    let first = (4u * d * params.units + u) * params.inputs + k;
    packed[id.x] = vec4f(
        weight[first],
        weight[first + gate],
        weight[first + 2u * gate],
        weight[first + 3u * gate],
    );
}
