// Where the gradient of a unit's four gates goes, in column j of its weights. A kernel gives `params.units`, how
// many columns there are, and the place of a sum (put). `half` is 2 · share + d.
fn store(half: u32, u: u32, j: u32, sum: vec4f) {
    if u < params.units && j < columns() {
        let gate = params.units * columns();
        let first = (4u * half * params.units + u) * columns() + j;
        put(first, sum.x);
        put(first + gate, sum.y);
        put(first + 2u * gate, sum.z);
        put(first + 3u * gate, sum.w);
    }
}
