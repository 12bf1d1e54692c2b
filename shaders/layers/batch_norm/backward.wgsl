// Gradient through max pooling, batch norm and ReLU, in place of the activation:
//     dy = d_output at the position that its window kept, else 0
//     activation ← activation > 0 ? scale · (dy − terms₀ − x̂ · terms₁) : 0,
//     x̂ = (activation − mean) / √(variance + ε)
// The kept position is the first of its window, in row-major order, that equals the pooled value.
//
// Tensors hold channels in quads: [clip, channel/4, band, step] of vec4. One thread a window,
// those that are cut off by the edge (and get no gradient) included. Workgroups: x covers the
// windows, y the quads, z the clips.

struct Params {
    batch: u32,
    quads: u32,
    bands: u32,
    steps: u32,
    window_bands: u32,
    window_steps: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, quads, bands / window, steps / window]
@group(0) @binding(1) var<storage, read> d_output: array<vec4f>;
// [batch, quads, bands / window, steps / window]
@group(0) @binding(2) var<storage, read> pooled: array<vec4f>;
// [3, quads]: mean, 1 / √(variance + ε), scale.
@group(0) @binding(3) var<storage, read> moments: array<vec4f>;
// [2, quads]
@group(0) @binding(4) var<storage, read> terms: array<vec4f>;
// [batch, quads, bands, steps]
@group(0) @binding(5) var<storage, read_write> activation: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let columns = (params.steps + params.window_steps - 1u) / params.window_steps;
    let rows = (params.bands + params.window_bands - 1u) / params.window_bands;
    if id.x >= rows * columns {
        return;
    }
    let row = id.x / columns;
    let column = id.x % columns;
    let pooled_bands = params.bands / params.window_bands;
    let pooled_steps = params.steps / params.window_steps;
    let quad = id.y;
    let mean = moments[quad];
    let inverse = moments[params.quads + quad];
    let scale = moments[2u * params.quads + quad];
    let constant = terms[quad];
    let slope = terms[params.quads + quad] * inverse;

    var d = vec4f();
    var kept = vec4f();
    if row < pooled_bands && column < pooled_steps {
        let plane = (id.z * params.quads + quad) * pooled_bands * pooled_steps;
        d = d_output[plane + row * pooled_steps + column];
        kept = pooled[plane + row * pooled_steps + column];
    }

    let plane = (id.z * params.quads + quad) * params.bands * params.steps;
    let last_band = min((row + 1u) * params.window_bands, params.bands);
    let last_step = min((column + 1u) * params.window_steps, params.steps);
    var band = row * params.window_bands;
    loop {
        var step = column * params.window_steps;
        loop {
            let at = plane + band * params.steps + step;
            let value = activation[at];
            let dy = select(vec4f(), d, value == kept);
            // The gradient goes to the first match only.
            d = select(d, vec4f(), value == kept);
            let gradient = scale * (dy - constant - (value - mean) * slope);
            activation[at] = select(vec4f(), gradient, value > vec4f());
            continuing {
                step++;
                break if step >= last_step;
            }
        }
        continuing {
            band++;
            break if band >= last_band;
        }
    }
}
