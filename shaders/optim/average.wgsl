// A moving average of numbers that every update changes (Polyak and Juditsky, 1992):
//     average ← average + weight · (value − average)
// The host says the weight of each update. One thread four numbers.

struct Params {
    // Numbers / 4.
    quads: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// The last word is the weight (as bits).
@group(0) @binding(1) var<storage, read> control: array<u32>;
@group(0) @binding(2) var<storage, read> value: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> average: array<vec4f>;

@compute @workgroup_size(64)
fn main(
    @builtin(global_invocation_id) id: vec3u,
    @builtin(num_workgroups) groups: vec3u,
) {
    let i = id.y * groups.x * 64u + id.x;
    if i >= params.quads {
        return;
    }
    let before = average[i];
    average[i] = fma(vec4f(bitcast<f32>(control[5])), value[i] - before, before);
}
