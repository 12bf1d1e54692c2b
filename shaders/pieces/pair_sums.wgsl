// Two sums over a workgroup, in a fixed order.

const LANES = 64u;

var<workgroup> sums: array<vec4f, 128>;

// Leaves the sum of `first` at sums[0] and that of `second` at sums[LANES].
fn add_up(lane: u32, first: vec4f, second: vec4f) {
    sums[lane] = first;
    sums[LANES + lane] = second;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half {
            sums[lane] += sums[lane + half];
            sums[LANES + lane] += sums[LANES + lane + half];
        }
        workgroupBarrier();
    }
}
