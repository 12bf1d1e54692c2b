// Gradient of an LSTM's weights in one direction d, an outer product that is summed over spans of
// rows, the rows of a span being `turns`:
//     gradient[d, r, j] = Σ_span,turn d_gates[gates_row, r] · input[input_row, j]
// It is left in shares, of which each has its part of every span.
//
// A thread computes the four gates r of two units for the 8 columns j ≡ lane modulo LANES of its
// tile. A workgroup's threads lie LANES along the columns and 64 / LANES along the units.
// Workgroups: x covers the columns in tiles of 8 · LANES, y the units in tiles of 128 / LANES, z
// is d, and the share above it.
//
// A kernel gives `d_gates` and `params.units`, how many columns there are, where a row of either factor begins
// (gates_row, input_row), an element of the input, the place of a sum (put), and what becomes of the gates' sums
// over the rows alone (put_alone). The piece `lstm_weight_rows` goes with this one.

override LANES = 16u;

fn outer_product(group: vec3u, groups: vec3u, lane: u32, spans: u32, turns: u32) {
    let d = group.z % 2u;
    let share = group.z / 2u;
    let shares = groups.z / 2u;
    let first_turn = turns * share / shares;
    let end_turn = turns * (share + 1u) / shares;
    let u = 2u * (64u / LANES * group.y + lane / LANES);
    let j = 8u * LANES * group.x + lane % LANES;
    // A tile's missing units and columns repeat the last one.
    let u0 = min(u, params.units - 1u);
    let u1 = min(u + 1u, params.units - 1u);
    let last = columns() - 1u;
    let j0 = min(j, last);
    let j1 = min(j + LANES, last);
    let j2 = min(j + 2u * LANES, last);
    let j3 = min(j + 3u * LANES, last);
    let j4 = min(j + 4u * LANES, last);
    let j5 = min(j + 5u * LANES, last);
    let j6 = min(j + 6u * LANES, last);
    let j7 = min(j + 7u * LANES, last);

    // The gates' sums of units u (a) and u + 1 (b) in each column.
    var a0 = vec4f(); var a1 = vec4f(); var a2 = vec4f(); var a3 = vec4f();
    var a4 = vec4f(); var a5 = vec4f(); var a6 = vec4f(); var a7 = vec4f();
    var b0 = vec4f(); var b1 = vec4f(); var b2 = vec4f(); var b3 = vec4f();
    var b4 = vec4f(); var b5 = vec4f(); var b6 = vec4f(); var b7 = vec4f();

    // Their sums over the rows alone.
    var a = vec4f(); var b = vec4f();

    for (var span = 0u; span < spans; span++) {
        for (var turn = first_turn; turn < end_turn; turn++) {
            let at = gates_row(d, span, turn);
            let start = input_row(d, span, turn);
            let g = d_gates[at + u0];
            let e = d_gates[at + u1];
            a += g;
            b += e;
            let x0 = vec4f(input_at(start + j0));
            let x1 = vec4f(input_at(start + j1));
            let x2 = vec4f(input_at(start + j2));
            let x3 = vec4f(input_at(start + j3));
            let x4 = vec4f(input_at(start + j4));
            let x5 = vec4f(input_at(start + j5));
            let x6 = vec4f(input_at(start + j6));
            let x7 = vec4f(input_at(start + j7));
            a0 = fma(g, x0, a0);
            b0 = fma(e, x0, b0);
            a1 = fma(g, x1, a1);
            b1 = fma(e, x1, b1);
            a2 = fma(g, x2, a2);
            b2 = fma(e, x2, b2);
            a3 = fma(g, x3, a3);
            b3 = fma(e, x3, b3);
            a4 = fma(g, x4, a4);
            b4 = fma(e, x4, b4);
            a5 = fma(g, x5, a5);
            b5 = fma(e, x5, b5);
            a6 = fma(g, x6, a6);
            b6 = fma(e, x6, b6);
            a7 = fma(g, x7, a7);
            b7 = fma(e, x7, b7);
        }
    }

    store(group.z, u, j, a0);
    store(group.z, u, j + LANES, a1);
    store(group.z, u, j + 2u * LANES, a2);
    store(group.z, u, j + 3u * LANES, a3);
    store(group.z, u, j + 4u * LANES, a4);
    store(group.z, u, j + 5u * LANES, a5);
    store(group.z, u, j + 6u * LANES, a6);
    store(group.z, u, j + 7u * LANES, a7);
    store(group.z, u + 1u, j, b0);
    store(group.z, u + 1u, j + LANES, b1);
    store(group.z, u + 1u, j + 2u * LANES, b2);
    store(group.z, u + 1u, j + 3u * LANES, b3);
    store(group.z, u + 1u, j + 4u * LANES, b4);
    store(group.z, u + 1u, j + 5u * LANES, b5);
    store(group.z, u + 1u, j + 6u * LANES, b6);
    store(group.z, u + 1u, j + 7u * LANES, b7);
    // Every column sees the same; the first one keeps it.
    if j == 0u {
        put_alone(group.z, u, a);
        put_alone(group.z, u + 1u, b);
    }
}
