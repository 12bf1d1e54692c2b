// One step of an LSTM for a unit of four clips at a time, as layers/lstm/recurrence_forward says. A kernel gives
// `params`, `gates`, `cells` and `hidden`. The piece `hyperbolic_tangent` goes with this one.

// exp cannot overflow: beyond ±30 the function has long been at its bounds in f32.
fn sigmoid(x: vec4f) -> vec4f {
    return 1.0 / (1.0 + exp(-clamp(x, vec4f(-30.0), vec4f(30.0))));
}

fn hidden_index(n: u32, t: u32, d: u32, u: u32) -> u32 {
    return ((n * params.steps + t) * 2u + d) * params.units + u;
}

fn row_index(n: u32, t: u32, d: u32, u: u32) -> u32 {
    return ((d * params.batch + n) * params.steps + t) * params.units + u;
}

// One unit of four clips from n on at step t, `before` being the step walked before: takes the
// recurrent sums of each gate, stores gates and c, returns h.
fn advance(
    n: u32, t: u32, before: u32, first: bool, d: u32, u: u32,
    i_sum: vec4f, f_sum: vec4f, g_sum: vec4f, o_sum: vec4f,
) -> vec4f {
    let last = params.batch - 1u;
    let at0 = row_index(min(n, last), t, d, u);
    let at1 = row_index(min(n + 1u, last), t, d, u);
    let at2 = row_index(min(n + 2u, last), t, d, u);
    let at3 = row_index(min(n + 3u, last), t, d, u);
    let sums = transpose(mat4x4f(gates[at0], gates[at1], gates[at2], gates[at3]));
    let i = sigmoid(sums[0] + i_sum);
    let f = sigmoid(sums[1] + f_sum);
    let g = hyperbolic_tangent(sums[2] + g_sum);
    let o = sigmoid(sums[3] + o_sum);
    var c = i * g;
    if !first {
        // Modulo 2^32, so that it may lead downwards.
        let back = (before - t) * params.units;
        let kept =
            vec4f(cells[at0 + back], cells[at1 + back], cells[at2 + back], cells[at3 + back]);
        c = fma(f, kept, c);
    }
    let h = o * hyperbolic_tangent(c);
    store(n, t, d, u, vec4f(i.x, f.x, g.x, o.x), c.x, h.x);
    store(n + 1u, t, d, u, vec4f(i.y, f.y, g.y, o.y), c.y, h.y);
    store(n + 2u, t, d, u, vec4f(i.z, f.z, g.z, o.z), c.z, h.z);
    store(n + 3u, t, d, u, vec4f(i.w, f.w, g.w, o.w), c.w, h.w);
    return h;
}

fn store(n: u32, t: u32, d: u32, u: u32, activated: vec4f, c: f32, h: f32) {
    if n < params.batch {
        let at = row_index(n, t, d, u);
        gates[at] = activated;
        cells[at] = c;
        hidden[hidden_index(n, t, d, u)] = h;
    }
}
