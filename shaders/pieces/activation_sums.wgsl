// The sums of an activation that its batch norm needs, around a pivot:
//     partial[row, o] = Σ_p (a − pivot[o]),  Σ_p (a − pivot[o])²
// A row of partials is the work of one workgroup. A kernel gives `pivot`, `partial` and
// LANES, the threads of a workgroup; it sets center to pivot_of, adds to total and squares, and ends
// with put_sums. The piece `quads` goes with this one.

var<workgroup> sums: array<vec4f, 128>;

var<private> center: vec4f;
var<private> total: vec4f;
var<private> squares: vec4f;

fn pivot_of(q: u32) -> vec4f {
    let i = places(q);
    return masked(q, vec4f(pivot[i.x], pivot[i.y], pivot[i.z], pivot[i.w]));
}

// Sums up the workgroup's threads, into the two elements of `partial` from `at` on.
fn put_sums(lane: u32, at: u32) {
    sums[lane] = total;
    sums[LANES + lane] = squares;
    workgroupBarrier();
    // Two lanes add all up: a tree has a barrier a level, and takes a software adapter twice as long
    // to compile; to a GPU this is a fiftieth of the workgroup's work.
    if lane < 2u {
        var sum = vec4f();
        for (var k = 0u; k < LANES; k++) {
            sum += sums[lane * LANES + k];
        }
        partial[at + lane] = sum;
    }
}
