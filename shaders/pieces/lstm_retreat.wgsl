// One step back through an LSTM, as layers/lstm/recurrence_backward says, for one unit of clip n at walk step s,
// to which the step after sends `back`: stores carry, and returns d_gates. A kernel gives `params`, `gates`,
// `cells`, `d_hidden` and `carry`. The pieces `hyperbolic_tangent` and `unless_vanished` go with this one.

// Where the unit lies in d_gates.
fn place_of(n: u32, s: u32, d: u32, u: u32) -> u32 {
    let t = select(s, params.steps - 1u - s, d == 1u);
    return ((d * params.batch + n) * params.steps + t) * params.units + u;
}

fn retreat(n: u32, s: u32, d: u32, u: u32, back: f32) -> vec4f {
    let t = select(s, params.steps - 1u - s, d == 1u);
    let at = ((d * params.batch + n) * params.steps + t) * params.units + u;
    let activated = gates[at];
    let i = activated.x;
    let f = activated.y;
    let g = activated.z;
    let o = activated.w;
    let c = hyperbolic_tangent(vec4f(cells[at])).x;
    var c_before = 0.0;
    if s > 0u {
        c_before = cells[select(at - params.units, at + params.units, d == 1u)];
    }
    let kept = (d * params.batch + n) * params.units + u;
    let dh = d_hidden[((n * params.steps + t) * 2u + d) * params.units + u] + back;
    var dc = 0.0;
    if s + 1u < params.steps {
        dc = carry[kept];
    }
    dc = fma(dh * o, fma(-c, c, 1.0), dc);
    carry[kept] = unless_vanished(vec4f(f * dc)).x;
    let gradient = unless_vanished(vec4f(
        dc * g * i * (1.0 - i),
        dc * c_before * f * (1.0 - f),
        dc * i * fma(-g, g, 1.0),
        dh * c * o * (1.0 - o),
    ));
    return gradient;
}
