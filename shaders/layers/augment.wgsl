// Clips as training hears them: mixed with another of the batch (mixup of Zhang et al. 2018), and with
// bands and steps hidden (SpecAugment of Park et al. 2019, one mask of each):
//     output[n, b, t] = hidden(n, b, t) ? mean : weight[n] · input[n, b, t] + (1 − weight[n]) · input[partner[n], b, t]
// The host draws what is done to each clip; `mean` is zero to the model. One thread an element.

struct Params {
    batch: u32,
    bands: u32,
    steps: u32,
    mean: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch, 6]: partner, weight (the bits of a float), first band, hidden bands, first step, hidden steps
@group(0) @binding(1) var<storage, read> changes: array<u32>;
// [batch, bands, steps]
@group(0) @binding(2) var<storage, read> input: array<f32>;
// [batch, bands, steps]
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
    let size = params.bands * params.steps;
    if id.x >= size {
        return;
    }
    let change = id.y * 6u;
    let partner = changes[change];
    let weight = bitcast<f32>(changes[change + 1u]);
    let band = id.x / params.steps;
    let step = id.x % params.steps;
    // What comes before the first wraps around and is large.
    let hidden = band - changes[change + 2u] < changes[change + 3u]
        || step - changes[change + 4u] < changes[change + 5u];
    let own = input[id.y * size + id.x];
    let other = input[partner * size + id.x];
    let mixed = fma(weight, own, (1.0 - weight) * other);
    output[id.y * size + id.x] = select(mixed, params.mean, hidden);
}
