// Quads of output channels. A kernel gives `bias` and `params.out_channels`.

fn channels(q: u32) -> vec4u {
    return vec4u(4u * q) + vec4u(0u, 1u, 2u, 3u);
}

// The places of a quad's channels in a vector; past its end the last one.
fn places(q: u32) -> vec4u {
    return min(channels(q), vec4u(params.out_channels - 1u));
}

// Zero past the last channel.
fn masked(q: u32, value: vec4f) -> vec4f {
    return select(vec4f(), value, channels(q) < vec4u(params.out_channels));
}

fn bias_of(q: u32) -> vec4f {
    let i = places(q);
    return masked(q, vec4f(bias[i.x], bias[i.y], bias[i.z], bias[i.w]));
}
