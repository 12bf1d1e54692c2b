// Keeps the training loss of an epoch on the device:
//     total[0] ← total[0] + Σ_n loss[n]
// in a fixed order, by one thread.

struct Params {
    batch: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// [batch]
@group(0) @binding(1) var<storage, read> loss: array<f32>;
@group(0) @binding(2) var<storage, read_write> total: array<f32>;

@compute @workgroup_size(1)
fn main() {
    var sum = 0.0;
    for (var n = 0u; n < params.batch; n++) {
        sum += loss[n];
    }
    total[0] += sum;
}
